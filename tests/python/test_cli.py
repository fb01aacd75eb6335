from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from imzml_factory import grid_specs, write_imzml
from users import ordinary_user

Command = Callable[..., Any]


def test_pick_writes_the_run(cli: Command, section: Path, tmp_path: Path) -> None:
    done = cli("pick", section, "-o", tmp_path, "--top", 7, "--report")
    assert done.code == 0, done.stderr
    folder = tmp_path / "small section"
    assert {path.name for path in folder.iterdir()} == {"peaks.csv", "scores.csv", "run.json", "report.html"}
    assert len(pd.read_csv(folder / "peaks.csv")) == 7
    assert "7 of" in done.stdout
    assert done.stderr == ""  # no progress bar in a pipe


def test_pick_json(cli: Command, section: Path, tmp_path: Path) -> None:
    done = cli("pick", section, "-o", tmp_path, "--scorer", "moran", "--min-score", "0.2", "--json")
    document = json.loads(done.stdout)
    assert document["failures"] == []
    result = document["results"][0]
    assert (result["scorer"], result["precision"], result["z"], result["warnings"]) == ("moran", "f32", None, [])
    assert result["picked"] == len(pd.read_csv(tmp_path / "small section" / "peaks.csv"))


def test_pick_shows_the_structure_where_the_model_gives_it(cli: Command, section: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
    from model_factory import write_model

    write_model(tmp_path / "m", structure=True, statistics=["moran"], preprocessing="p99-stretch-224-mask")
    done = cli("pick", section, "-o", tmp_path, "--model", tmp_path / "m", "--top", 2, "--report")
    assert done.code == 0, done
    picks = pd.read_csv(tmp_path / section.stem / "peaks.csv")
    assert list(picks.columns)[-4:-2] == ["p_negative", "structure"]
    for row in picks.itertuples():
        assert f"{row.score:.3f}  {row.label}, structure {row.structure:.1f} of 3" in done.stdout
    run = json.loads((tmp_path / section.stem / "run.json").read_text())
    assert run["model"]["statistics"] == ["moran"]
    assert "statistics_s" in run["scoring_loop"]
    assert " of 3" not in cli("pick", section, "-o", tmp_path / "n", "--top", 2, "--scorer", "moran").stdout


def test_pick_an_mz_list(cli: Command, section: Path, tmp_path: Path) -> None:
    with imn.open(section) as ds:
        mz = imn.candidate_axis(ds).mz[:3]
    (tmp_path / "list.csv").write_text("name,mz\n" + "".join(f"x,{value!r}\n" for value in mz.tolist()))
    options = ("-o", tmp_path, "--scorer", "moran", "--top", 9, "--mz-list", tmp_path / "list.csv")
    assert cli("pick", section, *options, "--ppm", 5).code == 0
    assert sorted(pd.read_csv(tmp_path / "small section" / "peaks.csv")["mz"]) == pytest.approx(sorted(mz))
    cli("pick", section, *options).is_one_line_error("ppm")


def test_some_inputs_failed(cli: Command, section: Path, tmp_path: Path) -> None:
    done = cli("pick", section, tmp_path / "absent.imzML", "-o", tmp_path / "out", "--scorer", "moran", "--top", 3)
    assert done.code == 1
    assert "absent.imzML" in done.stderr
    assert (tmp_path / "out" / "small section" / "run.json").is_file()


def broken_inputs(section: Path, tmp_path: Path) -> dict[str, tuple[Path, str]]:
    text, ibd = section.read_bytes(), section.with_suffix(".ibd").read_bytes()

    def write(name: str, imzml: bytes, data: bytes | None) -> Path:
        path = tmp_path / f"{name}.imzML"
        path.write_bytes(imzml)
        if data is not None:
            path.with_suffix(".ibd").write_bytes(data)
        return path

    with imn.open(section) as ds:
        first = next(i for i in range(ds.n_spectra) if len(ds.spectrum(i)[0]) > 2)
        mz, _ = ds.spectrum(first)
    at = ibd.index(mz.tobytes())
    nan = ibd[: at + 8] + np.array([np.nan]).tobytes() + ibd[at + 16 :]
    folder = tmp_path / "folder.imzML"
    folder.mkdir()
    return {
        "missing": (tmp_path / "none.imzML", "none.imzML"),
        "missing ibd": (write("no_ibd", text, None), "no_ibd.ibd"),
        "truncated ibd": (write("truncated", text, ibd[: len(ibd) // 2]), "truncated"),
        "not XML": (write("notes", b"my notes\n", ibd), "notes.imzML"),
        "binary": (write("binary", bytes(range(256)) * 40, ibd), "binary.imzML"),
        "empty": (write("empty", b"", ibd), "empty.imzML"),
        "cut XML": (write("cut", text[: len(text) // 2], ibd), "cut.imzML"),
        "directory": (folder, "folder.imzML"),
        "NaN m/z": (write("nan", text, nan), "nan"),
    }


def test_bad_input_is_one_clear_line(cli: Command, section: Path, tmp_path: Path) -> None:
    for name, (path, word) in broken_inputs(section, tmp_path).items():
        done = cli("pick", path, "-o", tmp_path / "out", "--scorer", "moran", "--top", 3)
        try:
            done.is_one_line_error(word)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None
    out = tmp_path / "out"
    assert not out.exists()


@pytest.mark.parametrize(
    ("command", "closed"),
    [("pick", ".imzML"), ("pick", ".ibd"), ("info", ".imzML"), ("validate", ".imzML"), ("validate", ".ibd")],
)
def test_no_permission_is_one_clear_line(cli: Command, section: Path, command: str, closed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        os.chmod(folder, 0o777)
        path = Path(folder) / "closed.imzML"
        for suffix in (".imzML", ".ibd"):
            target = path.with_suffix(suffix)
            target.write_bytes(section.with_suffix(suffix).read_bytes())
            target.chmod(0 if suffix == closed else 0o644)
        out = ["-o", f"{folder}/out", "--scorer", "moran", "--top", "3"] if command == "pick" else []
        with ordinary_user():
            done = cli(command, path, *out)
        done.is_one_line_error(f"closed{closed}: permission denied")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["info", "absent.imzML"], "absent.imzML"),
        (["images", "absent.imzML", "--mz", "500", "--ppm", "5", "-o", "x.png"], "absent.imzML"),
        (["pick", "x.imzML", "-o", "out", "--device", "cuda:x"], "unknown device"),
        (["pick", "x.imzML", "-o", "out", "--scorer", "fourier"], "unknown scorer"),
        (["pick", "x.imzML", "-o", "out", "--model", "no-such"], "no-such"),
        (["pick", "x.imzML", "-o", "out", "--format", "docx"], "docx"),
    ],
)
def test_errors_are_one_line(
    cli: Command, arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli(*arguments).is_one_line_error(word)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["pick"], ["pick", "x", "-o"], ["train"], ["fly"], ["--nonsense"]])
def test_usage_errors_exit_2(cli: Command, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.stderr


def test_info(cli: Command, section: Path) -> None:
    text = cli("info", section)
    assert text.code == 0
    facts = json.loads(cli("info", section, "--json").stdout)
    assert facts["n_spectra"] > 100
    width, height = facts["max_count"]
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in text.stdout.splitlines())
    assert rows["mode"] == "processed"
    assert rows["spectra"] == f"{facts['n_spectra']:,}"
    assert rows["declared grid"] == f"{width} x {height} pixels (width x height)"
    assert "polarity" not in rows  # not declared


def test_validate(cli: Command, section: Path, tmp_path: Path) -> None:
    good = cli("validate", section, "--checksum")
    assert good.code == 0
    assert "no problems" in good.stdout
    bad = cli("validate", broken_inputs(section, tmp_path)["NaN m/z"][0])
    assert bad.code == 1
    assert "NaN" in bad.stdout
    assert cli("validate", tmp_path / "absent.imzML").code == 2


def test_validate_finds_what_makes_no_sense(cli: Command, tmp_path: Path) -> None:
    write_imzml(tmp_path / "s.imzML", grid_specs(20, 12, shared=True), shared_axis=True, ibd_uuid=b"\0" * 16)
    found = cli("validate", tmp_path / "s.imzML")
    assert found.code == 1
    assert found.stdout.startswith("warning: ")
    assert "UUID" in found.stdout
    assert found.stdout.rstrip().endswith("240 spectra read, 0 kinds of error, 1 of warning")
    document = json.loads(cli("validate", tmp_path / "s.imzML", "--json").stdout)
    assert [problem["kind"] for problem in document["problems"]] == ["file"]
    assert document["ok"]


def test_images(cli: Command, section: Path, tmp_path: Path) -> None:
    with imn.open(section) as ds:
        mz = imn.candidate_axis(ds).mz[:3].tolist()
        expected = ds.ion_images(mz, ppm=5)
    listed = ",".join(map(repr, mz))
    assert cli("images", section, "--mz", listed, "--ppm", 5, "-o", tmp_path / "i.npz").code == 0
    with np.load(tmp_path / "i.npz") as found:
        assert np.array_equal(found["images"], expected, equal_nan=True)
        assert np.array_equal(found["mz"], mz)
    assert cli("images", section, "--mz", listed, "--tol", 0.01, "-o", tmp_path / "i.png").code == 0
    assert (tmp_path / "i.png").read_bytes()[:4] == b"\x89PNG"
    cli("images", section, "--mz", listed, "-o", tmp_path / "x.png").is_one_line_error("ppm")
    cli("images", section, "--mz", listed, "--ppm", 5, "-o", tmp_path / "x.gif").is_one_line_error(".npz or .png")


def test_simulate_and_pick(cli: Command, tmp_path: Path) -> None:
    path = tmp_path / "new.imzML"
    done = cli("simulate", path, "--shape", 30, 40, "--n-channels", 50, "--seed", 3, "--mode", "continuous")
    assert done.code == 0, done.stderr
    with imn.open(path) as ds:
        assert ds.mode == "continuous"
        assert ds.shape == (30, 40)
    assert cli("pick", path, "-o", tmp_path / "out", "--scorer", "moran", "--top", 5).code == 0


def test_demo(cli: Command, tmp_path: Path) -> None:
    done = cli("demo", "-o", tmp_path / "demo", "--shape", 40, 50, "--n-channels", 80)
    assert done.code == 0, done.stderr
    assert list((tmp_path / "demo").rglob("report.html"))
