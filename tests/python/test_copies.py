"""Spectra that repeat an earlier one value for value: found, counted, left out on request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml

Command = Callable[..., Any]
HEIGHT, WIDTH = 10, 12
MZ = np.array([300.1, 400.2, 885.55])


def grid(*, shared: bool = False, digits: int | None = None, seed: int = 0) -> list[Spec]:
    """Three ions at every pixel; the first two have a shape. ``digits``: of counts; None: intensities of float32."""
    draw = np.random.default_rng(seed)
    specs = []
    for y, x in np.ndindex(HEIGHT, WIDTH):
        mz = MZ if shared else MZ * (1 + draw.normal(0, 1e-6, 3))
        intensity = np.array([x > 6, y > 4, 1.0]) + draw.random(3)
        specs.append(Spec(x + 1, y + 1, mz, intensity if digits is None else np.round(intensity * digits)))
    return specs


def filled_lines(specs: list[Spec], lines: tuple[int, ...]) -> list[Spec]:
    """Lines that hold what the line above holds."""
    found = list(specs)
    for y in lines:
        for x in range(WIDTH):
            found[y * WIDTH + x] = replace(found[(y - 1) * WIDTH + x], y=y + 1)
    return found


def copies_line(path: Path, **opened: Any) -> list[str]:
    with imn.open(path, **opened) as ds:
        ds.copies()
        return [line for line in ds.warnings if "exact copies" in line]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_filled_lines_are_found_and_left_out(tmp_path: Path, shared: bool, compress: bool) -> None:
    specs = filled_lines(grid(shared=shared), (3, 4, 7))
    path = write_imzml(tmp_path / "s.imzML", specs, shared_axis=shared, compress=compress)
    wanted = np.full(HEIGHT * WIDTH, -1)
    for y, source in ((3, 2), (4, 2), (7, 6)):
        wanted[y * WIDTH : (y + 1) * WIDTH] = np.arange(source * WIDTH, (source + 1) * WIDTH)
    with imn.open(path) as ds:
        assert not any("copies" in line for line in ds.warnings)
        assert ds.copies(threads=2).tolist() == wanted.tolist()
        assert ds.mask.all()
        [line] = [line for line in ds.warnings if "copies" in line]
    assert line.startswith(f"{3 * WIDTH} of {HEIGHT * WIDTH} spectra (30 %) are exact copies of another pixel's")
    assert "(first: spectrum 36 at x 1, y 4 repeats spectrum 24 at x 1, y 3)" in line
    assert line.endswith("--copies drop (Python: copies='drop') leaves them out")
    with imn.open(path, copies="drop") as ds:
        assert ds.shape == (HEIGHT, WIDTH)
        assert ds.mask.tolist() == [[y not in (3, 4, 7)] * WIDTH for y in range(HEIGHT)]
        images = ds.ion_images(MZ, ppm=9)
        assert np.isnan(images[:, [3, 4, 7]]).all()
        assert np.isfinite(images[:, 0]).all()
        axis = imn.candidate_axis(ds, kind="bins" if shared else "auto")
        assert axis.frequency == pytest.approx(1.0, abs=0.02)
        mean = ds.mean_spectrum()
        assert mean[1].sum() == pytest.approx(np.nansum(images) / (7 * WIDTH))
        assert ["they count as not measured" in line for line in ds.warnings] == [True]


def test_one_spectrum_at_every_pixel(tmp_path: Path) -> None:
    source = grid()[5]
    path = write_imzml(tmp_path / "s.imzML", [replace(source, x=s.x, y=s.y) for s in grid()])
    [line] = copies_line(path)
    assert line.startswith("119 of 120 spectra (99.2 %)")
    with imn.open(path, copies="drop") as ds:
        assert ds.shape == (HEIGHT, WIDTH)
        assert ds.mask.sum() == 1


def test_spectra_that_point_to_one_array(tmp_path: Path) -> None:
    """Equal offsets, as a converter writes that stores an array once: copies whatever their digits."""
    offsets: list[int] = []

    def offset(at: int) -> str:
        offsets.append(at)  # m/z and intensity in turn
        k = len(offsets) - 1
        return str(offsets[k - 2] if k // 2 % 4 == 3 else at)

    path = write_imzml(tmp_path / "s.imzML", grid(digits=20), offset=offset)
    [line] = copies_line(path)
    assert line.startswith("30 of 120 spectra (25 %) are exact copies of another pixel's (their offsets are the same)")
    assert "spectrum 3 at x 4, y 1 repeats spectrum 2 at x 3, y 1" in line


@pytest.mark.parametrize("values", [[], [0.0, 0.0, 0.0], [2.5, 2.5, 2.5]])
def test_blank_spectra_are_no_copies(tmp_path: Path, values: list[float]) -> None:
    specs = grid()
    for y in range(4):
        for x in range(WIDTH):
            specs[y * WIDTH + x] = Spec(x + 1, y + 1, MZ[: len(values)], values)
    assert copies_line(write_imzml(tmp_path / "s.imzML", specs)) == []
    assert imn.validate(tmp_path / "s.imzML").ok


def test_counts_of_a_few_ions_are_equal_by_chance(tmp_path: Path) -> None:
    specs = grid(shared=True, digits=2)
    contents = {tuple(np.asarray(spec.intensity)) for spec in specs}
    assert len(contents) < len(specs) / 2  # most have the values of another one
    assert copies_line(write_imzml(tmp_path / "s.imzML", specs, shared_axis=True)) == []


def test_equal_intensities_at_other_masses_are_no_copies(tmp_path: Path) -> None:
    specs = grid()
    specs[7] = replace(specs[7], intensity=specs[6].intensity)
    assert copies_line(write_imzml(tmp_path / "s.imzML", specs)) == []


def test_one_intensity_array_for_many_spectra_is_said(tmp_path: Path) -> None:
    offsets: list[int] = []

    def offset(at: int) -> str:
        offsets.append(at)
        return str(offsets[81] if len(offsets) % 2 == 0 and len(offsets) > 82 else at)

    path = write_imzml(tmp_path / "s.imzML", grid(), offset=offset)
    with imn.open(path) as ds:
        [line] = [line for line in ds.warnings if "offset" in line]
    assert line.startswith("79 of 120 spectra have the intensities of another spectrum but m/z of their own (first: ")
    assert "spectrum 41" in line


@pytest.mark.parametrize(
    ("policy", "effect", "value"),
    [("first", "are not shown", 1), ("sum", "the sum counts them again", 2), ("mean", "the mean counts them again", 1)],
)
def test_copies_at_the_same_pixel(tmp_path: Path, policy: imn.io.dataset.Duplicates, effect: str, value: int) -> None:
    specs = grid()
    twice = [*specs, *(replace(spec) for spec in specs[:24])]
    path = write_imzml(tmp_path / "s.imzML", twice)
    [line] = [line for line in copies_line(path, duplicates=policy) if "same pixel" in line]
    assert line.startswith("24 spectra are exact copies of another one at the same pixel (first: spectrum 120 repeats")
    assert effect in line
    with imn.open(path, duplicates=policy) as ds, imn.open(path, duplicates=policy, copies="drop") as dropped:
        alone = dropped.ion_images(MZ, ppm=9)
        assert ds.ion_images(MZ, ppm=9)[:, :2] == pytest.approx(value * alone[:, :2])
        assert dropped.mask.all()
        assert alone[2, 0, 0] == pytest.approx(np.asarray(specs[0].intensity)[2])
        assert not any("already has one" in line for line in dropped.warnings)
    imn.open(path, duplicates="error", copies="drop").close()  # nothing is left of which a pixel has two


def test_the_commands_say_and_drop(cli: Command, tmp_path: Path) -> None:
    path = write_imzml(tmp_path / "s.imzML", filled_lines(grid(), (5,)))
    done = cli("validate", path)
    assert "12 of 120 spectra (10 %) are exact copies" in done.stdout
    quick = ("--scorer", "moran", "--top", 2)
    done = cli("pick", path, "-o", tmp_path / "keep", *quick)
    assert done.code == 0
    assert done.stderr.count("exact copies") == 1
    done = cli("pick", path, "-o", tmp_path / "drop", *quick, "--copies", "drop")
    assert "they count as not measured" in done.stderr
    record = json.loads((tmp_path / "drop" / "s" / "run.json").read_text())
    assert record["input"]["opened_with"]["copies"] == "drop"
    assert any("exact copies" in line for line in record["input"]["warnings"])


def test_a_clean_section_has_none(tmp_path: Path) -> None:
    truth = imn.simulate(tmp_path / "clean.imzML", shape=(20, 22), n_channels=40, seed=3)
    assert truth is not None
    with imn.open(tmp_path / "clean.imzML") as ds:
        assert (ds.copies() == -1).all()
        assert ds.warnings == []
