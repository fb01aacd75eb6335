"""Fewest measured pixels that a network scores: what is refused, what is cautioned, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, grid_specs, write_imzml
from ionmorphnet.scoring.minimum import MIN_PIXELS, cautions, fill, too_few


def noise(rng: np.random.Generator, n: int, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, rng.gamma(4, 0.25, (n, *mask.shape)), np.nan).astype(np.float32)


def test_the_limits() -> None:
    assert "35 measured pixels are too few for the network, which needs 36" in too_few(np.ones((5, 7), bool))
    assert "1 measured pixel is too few" in too_few(np.ones((1, 1), bool))
    assert too_few(np.ones((6, 6), bool)) == ""
    assert too_few(np.ones((1, 36), bool)) == ""
    scattered = np.random.default_rng(0).random((60, 60)) < 0.1
    assert "pixels are scattered over 60 x 60 pixels" in too_few(scattered)
    assert "--scorer moran" in too_few(scattered)
    assert too_few(np.random.default_rng(0).random((60, 60)) < 0.4) == ""


def test_cautions() -> None:
    assert cautions(np.ones((10, 10), bool), network=True) == []
    assert "only 99 pixels are measured, and the network misses" in cautions(np.ones((9, 11), bool), network=True)[0]
    assert cautions(np.ones((9, 11), bool), network=False) == []
    assert "only 9 pixels are measured, and a pattern of so few" in cautions(np.ones((3, 3), bool), network=False)[0]
    checks = np.zeros((40, 40), bool)
    checks[::2, ::2] = True
    assert [
        "100% of the measured pixels have no measured neighbour" in text for text in cautions(checks, network=True)
    ] == [True]
    thinned = np.random.default_rng(1).random((60, 60)) < 0.22
    assert ["the measured pixels are scattered" in text for text in cautions(thinned, network=True)] == [True]


def test_fill() -> None:
    assert fill(np.ones((3, 9), bool)) == 1
    assert fill(np.zeros((3, 9), bool)) == 0
    one = np.zeros((9, 9), bool)
    one[4, 4] = True
    assert fill(one) == pytest.approx(1 / 25)
    rng = np.random.default_rng(2)
    mask = rng.random((23, 17)) < 0.3
    shares = []
    for y, x in np.argwhere(mask):
        around = mask[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        shares.append(around.mean())
    assert fill(mask) == pytest.approx(np.mean(shares))


def test_why_scattered_pixels_are_refused() -> None:
    """Noise on a tenth of the pixels passes the model's threshold, on all pixels it does not."""
    rng = np.random.default_rng(3)
    images = noise(rng, 12, rng.random((30, 30)) < 0.06)
    with pytest.raises(imn.ArgumentError, match=r"images: the \d+ measured pixels are scattered over 30 x 30 pixels"):
        imn.score_images(images)
    scored = imn.make_scorer().score_stack(images).frame["score"]  # what would have come out
    assert (scored > 0.49).mean() > 0.5
    assert (imn.score_images(noise(rng, 12, np.ones((30, 30), bool)))["score"] < 0.49).all()


def test_images_in_memory() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(imn.ArgumentError, match="images: 25 measured pixels are too few for the network"):
        imn.score_images(noise(rng, 3, np.ones((5, 5), bool)))
    few = np.zeros((20, 20), bool)
    few[3:6, 4:9] = True
    with pytest.raises(imn.ArgumentError, match="15 measured pixels are too few"):
        imn.score_images(rng.random((2, 20, 20)), few)
    assert len(imn.score_images(rng.random((2, 5, 5)), scorer="moran")) == 2
    # Images that show nothing are blank as ever; the pixels of the first images may lack in others.
    assert (imn.score_images(np.full((2, 20, 20), np.nan))["score"] == 0).all()
    late = np.full((12, 20, 20), np.nan)
    late[9:] = rng.random((3, 20, 20))
    assert len(imn.score_images(late)) == 12


def test_sections(tmp_path: Path) -> None:
    path = write_imzml(tmp_path / "tiny.imzML", grid_specs(3, 3, 8, shared=True), shared_axis=True)
    with pytest.raises(imn.FileError, match=r"tiny\.imzML: 9 measured pixels are too few for the network"):
        imn.pick(path)
    peaks = imn.pick(path, axis=[100.0], ppm=1e6, scorer="moran", top=2)
    assert peaks.run is not None
    assert any("only 9 pixels are measured" in text for text in peaks.run.warnings)
    # A function in the network's place decides for itself.
    model = imn.load_model()

    def zeros(images: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        return np.zeros((len(images), model.n_outputs), np.float32)

    assert len(imn.pick(path, scorer=zeros, axis=[100.0], ppm=1e6, top=1).all_scores) == 1
    exact = write_imzml(tmp_path / "exact.imzML", grid_specs(6, MIN_PIXELS // 6, 8))
    run = imn.pick(exact, top=1).run
    assert run is not None
    assert any("only 36 pixels are measured" in text for text in run.warnings)


def test_on_the_command_line(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The tiny file fails with one line, the others are picked."""
    rng = np.random.default_rng(5)
    write_imzml(tmp_path / "tiny.imzML", grid_specs(2, 2, 5, shared=True), shared_axis=True)
    specs = [Spec(x + 1, y + 1, [300.0, 400.0], rng.gamma(4, 1, 2)) for y in range(12) for x in range(12)]
    write_imzml(tmp_path / "good.imzML", specs, shared_axis=True)
    done = cli("pick", tmp_path / "tiny.imzML", tmp_path / "good.imzML", "-o", tmp_path / "o", "--top", 1)
    assert done.code == 1, done
    assert "tiny.imzML: 4 measured pixels are too few for the network, which needs 36" in done.stderr
    assert (tmp_path / "o/good/peaks.csv").is_file()
    assert not (tmp_path / "o/tiny").exists()
