from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn


def command(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ionmorphnet", *map(str, arguments)], capture_output=True, text=True, **options
    )


def one_line_error(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_pick_writes_the_run(section: Path, tmp_path: Path) -> None:
    done = command("pick", section, "-o", tmp_path, "--top", 7, "--report")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "small section"
    assert {path.name for path in folder.iterdir()} == {"peaks.csv", "scores.csv", "run.json", "report.html"}
    assert len(pd.read_csv(folder / "peaks.csv")) == 7
    assert "7 of" in done.stdout
    assert done.stderr == ""  # no progress bar in a pipe


def test_pick_json(section: Path, tmp_path: Path) -> None:
    done = command("pick", section, "-o", tmp_path, "--scorer", "moran", "--min-score", "0.2", "--json")
    document = json.loads(done.stdout)
    assert document["failures"] == []
    assert document["results"][0]["picked"] == len(pd.read_csv(tmp_path / "small section" / "peaks.csv"))


def test_pick_an_mz_list(section: Path, tmp_path: Path) -> None:
    with imn.open(section) as ds:
        mz = imn.candidate_axis(ds).mz[:3]
    (tmp_path / "list.csv").write_text("name,mz\n" + "".join(f"x,{value!r}\n" for value in mz.tolist()))
    options = ("-o", tmp_path, "--scorer", "moran", "--top", 9, "--mz-list", tmp_path / "list.csv")
    assert command("pick", section, *options, "--ppm", 5).returncode == 0
    assert sorted(pd.read_csv(tmp_path / "small section" / "peaks.csv")["mz"]) == pytest.approx(sorted(mz))
    one_line_error(command("pick", section, *options), "ppm")


def test_some_inputs_failed(section: Path, tmp_path: Path) -> None:
    done = command("pick", section, tmp_path / "absent.imzML", "-o", tmp_path / "out", "--scorer", "moran", "--top", 3)
    assert done.returncode == 1
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


def test_bad_input_is_one_clear_line(section: Path, tmp_path: Path) -> None:
    for name, (path, word) in broken_inputs(section, tmp_path).items():
        done = command("pick", path, "-o", tmp_path / "out", "--scorer", "moran", "--top", 3)
        try:
            one_line_error(done, word)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None
    out = tmp_path / "out"
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file()]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_is_one_clear_line(section: Path, tmp_path: Path) -> None:
    path = tmp_path / "closed.imzML"
    path.write_bytes(section.read_bytes())
    path.chmod(0)
    one_line_error(command("pick", path, "-o", tmp_path / "out"), "closed.imzML")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["info", "absent.imzML"], "absent.imzML"),
        (["images", "absent.imzML", "--mz", "500", "--ppm", "5", "-o", "x.png"], "absent.imzML"),
        (["pick", "x.imzML", "-o", "out", "--device", "cuda"], "CPU only"),
        (["pick", "x.imzML", "-o", "out", "--scorer", "tensorrt"], "not in this version"),
        (["pick", "x.imzML", "-o", "out", "--model", "no-such"], "no-such"),
        (["pick", "x.imzML", "-o", "out", "--format", "xlsx"], "xlsx"),
    ],
)
def test_errors_are_one_line(arguments: list[str], word: str, tmp_path: Path) -> None:
    one_line_error(command(*arguments, cwd=tmp_path), word)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["pick"], ["pick", "x", "-o"], ["train"], ["fly"], ["--nonsense"]])
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_info(section: Path) -> None:
    text = command("info", section)
    assert text.returncode == 0
    assert "processed" in text.stdout
    facts = json.loads(command("info", section, "--json").stdout)
    assert facts["n_spectra"] > 100


def test_validate(section: Path, tmp_path: Path) -> None:
    good = command("validate", section, "--checksum")
    assert good.returncode == 0
    assert "no problems" in good.stdout
    bad = command("validate", broken_inputs(section, tmp_path)["NaN m/z"][0])
    assert bad.returncode == 1
    assert "NaN" in bad.stdout
    assert command("validate", tmp_path / "absent.imzML").returncode == 2


def test_images(section: Path, tmp_path: Path) -> None:
    with imn.open(section) as ds:
        mz = imn.candidate_axis(ds).mz[:3].tolist()
        expected = ds.ion_images(mz, ppm=5)
    listed = ",".join(map(repr, mz))
    assert command("images", section, "--mz", listed, "--ppm", 5, "-o", tmp_path / "i.npz").returncode == 0
    with np.load(tmp_path / "i.npz") as found:
        assert np.array_equal(found["images"], expected, equal_nan=True)
        assert np.array_equal(found["mz"], mz)
    assert command("images", section, "--mz", listed, "--tol", 0.01, "-o", tmp_path / "i.png").returncode == 0
    assert (tmp_path / "i.png").read_bytes()[:4] == b"\x89PNG"
    one_line_error(command("images", section, "--mz", listed, "-o", tmp_path / "x.png"), "ppm")
    one_line_error(command("images", section, "--mz", listed, "--ppm", 5, "-o", tmp_path / "x.gif"), ".npz or .png")


def test_simulate_and_pick(tmp_path: Path) -> None:
    path = tmp_path / "new.imzML"
    done = command("simulate", path, "--shape", 30, 40, "--channels", 50, "--seed", 3, "--mode", "continuous")
    assert done.returncode == 0, done.stderr
    with imn.open(path) as ds:
        assert ds.mode == "continuous"
        assert ds.shape[0] <= 30
    assert command("pick", path, "-o", tmp_path / "out", "--scorer", "moran", "--top", 5).returncode == 0


def test_demo(tmp_path: Path) -> None:
    done = command("demo", "-o", tmp_path / "demo", "--shape", 40, 50, "--channels", 80)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "demo").rglob("report.html"))


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "large.imzML"
    imn.simulate(path, shape=(60, 60), n_channels=1500, mode="continuous", seed=2)
    process = subprocess.Popen(
        [sys.executable, "-m", "ionmorphnet", "pick", str(path), "-o", str(tmp_path / "out"), "--precision", "f32"],
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.strip().splitlines()[-1] == "ionmorphnet: stopped"
    assert "Traceback" not in stderr
    out = tmp_path / "out"
    assert not out.exists() or not [path for path in out.rglob("*") if path.is_file()]
