"""A study with broken sections whose parent is killed at random moments ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn

IONS = np.linspace(200.0, 900.0, 12)
OPTIONS = {"scorer": "moran", "top": 4}


def make_section(path: Path, seed: int) -> None:
    """14 x 12 processed centroids with a mass drift of their own; some ions are structured."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    drift = rng.uniform(-8e-6, 8e-6)
    with imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid", pixel_size_um=(50.0, 50.0)) as writer:
        for y in range(1, 13):
            for x in range(1, 15):
                mz = np.sort(IONS * (1 + drift + rng.normal(0, 0.3e-6, len(IONS))))
                values = rng.gamma(4.0, 0.25, len(IONS))
                values[seed % 12 :: 3] *= 1 + 4 * (x > 5 and y > 4)
                writer.add(x, y, mz, values)


def _without_ibd(path: Path) -> None:
    path.with_suffix(".ibd").unlink()


def _cut_ibd(path: Path) -> None:
    ibd = path.with_suffix(".ibd")
    ibd.write_bytes(ibd.read_bytes()[: ibd.stat().st_size // 2])


def _cut_xml(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _something_else(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


BREAK: tuple[Callable[[Path], None], ...] = (_without_ibd, _cut_ibd, _cut_xml, _empty, _something_else)

SCRIPT = """\
import sys
import ionmorphnet as imn

if __name__ == "__main__":
    imn.cohort.run(sys.argv[1], sys.argv[2], jobs=2, scorer="moran", top=4)
"""


def lines(out: Path) -> list[dict[str, object]]:
    """Complete lines of the manifest; a run that was killed may leave a cut one."""
    path = out / "manifest.jsonl"
    texts = path.read_text().splitlines() if path.exists() else []
    return [json.loads(text) for text in texts if text.endswith("}")]


def tables(out: Path) -> dict[str, bytes]:
    """Content of every table of the sections."""
    found = sorted((out / "sections").rglob("*.csv"))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("n_sections", [24, pytest.param(200, marks=pytest.mark.long)])
def test_a_study_killed_three_times_loses_and_repeats_nothing(n_sections: int, tmp_path: Path) -> None:
    study, out = tmp_path / "study", tmp_path / "out"
    for k in range(n_sections):
        make_section(study / f"p{k % 7}" / f"s{k:03}.imzML", k)
    broken = []
    for k, fault in enumerate(BREAK):
        path = study / f"p{(3 + 4 * k) % 7}" / f"s{3 + 4 * k:03}.imzML"
        fault(path)
        broken.append(path.relative_to(study).with_suffix("").as_posix())

    calm = imn.cohort.run(study, tmp_path / "calm", jobs=2, **OPTIONS)
    failed = {entry.name: entry.reason for entry in calm.failed}
    assert sorted(failed) == sorted(broken)
    assert all(reason and "\n" not in reason for reason in failed.values())
    assert len(set(failed.values())) == len(failed)
    assert len(calm.entries) - len(failed) == n_sections - len(BREAK)

    main = tmp_path / "main.py"
    main.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    chance = random.Random(n_sections)
    stamps: dict[str, int] = {}
    for _ in range(3):
        # The kill falls on a random moment after a random number of further sections.
        until = len(lines(out)) + chance.randint(1, n_sections // 4)
        process = subprocess.Popen([sys.executable, main, study, out], env=env, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(lines(out)) < until:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.05))
        assert process.poll() is None, "the run ended before it was killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)  # its workers end by themselves
        done = [str(each["name"]) for each in lines(out) if each["status"] == "done"]
        stamps.update({name: (out / "sections" / name / "run.json").stat().st_mtime_ns for name in done})
        assert stamps, "no section was done before the kill"
    last = imn.cohort.run(study, out, jobs=2, **OPTIONS)

    assert sorted(entry.name for entry in last.failed) == sorted(broken)
    assert {entry.name: entry.reason for entry in last.failed} == failed
    counts = Counter(each["name"] for each in lines(out) if each["status"] == "done")
    assert len(counts) == n_sections - len(BREAK)
    assert set(counts.values()) == {1}, "a section that was done was done again"
    for name, stamp in stamps.items():
        assert (out / "sections" / name / "run.json").stat().st_mtime_ns == stamp
    assert tables(out) == tables(tmp_path / "calm")
    assert not list(out.rglob(".ionmorphnet-new-*"))
    for folder in (tmp_path / "calm", out):
        found = imn.cohort.find_consensus(folder, min_share=0.5)
        np.testing.assert_allclose(found.channels["mz"], IONS, rtol=4e-6)
    names = ["channels.csv", "members.csv", "drift.csv"]
    for name in names:
        assert (out / "consensus" / name).read_bytes() == (tmp_path / "calm/consensus" / name).read_bytes()
    shutil.rmtree(out / "sections" / next(iter(stamps)))
    again = imn.cohort.run(study, out, jobs=2, **OPTIONS)
    assert [each.why for each in again.planned if each.sample.name == next(iter(stamps))] == ["its result is gone"]
    assert tables(out) == tables(tmp_path / "calm")
    view = pd.read_csv(out / "manifest.csv")
    assert (view["status"] == "done").sum() == n_sections - len(BREAK)
