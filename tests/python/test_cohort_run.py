"""Cohort runs: many sections, some broken, interrupted and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.cohort import plan, run

ROOT = Path(__file__).resolve().parents[2]
PICK = {"scorer": "moran", "top": 3}


def make_section(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[1:13, 1:15]
    positions = np.stack([x.ravel(), y.ravel(), np.ones(x.size, int)], axis=1)
    mz = np.array([200.0, 300.0, 400.0, 500.0, 600.0])
    values = rng.gamma(4.0, 0.25, (x.size, 5))
    values[:, seed % 5] *= 1 + 4 * ((x.ravel() > 5) & (y.ravel() > 4))
    with imn.ImzMLWriter(path, mode="continuous", spectrum_type="centroid", pixel_size_um=(50.0, 50.0)) as writer:
        writer.add_shared(positions, mz, values.astype(np.float32))
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Four sections of two patients, all called data.imzML."""
    for k, place in enumerate(["p1/MSI", "p1/control", "p2/MSI", "p2/control"]):
        make_section(tmp_path / "study" / place / "data.imzML", k)
    return tmp_path / "study"


def peaks(out: Path) -> dict[str, str]:
    return {p.parent.relative_to(out).as_posix(): p.read_text() for p in sorted((out / "sections").rglob("scores.csv"))}


def test_a_folder_of_equal_names_is_picked_and_then_skipped(study, tmp_path):
    out = tmp_path / "out"
    done = run(study, out, jobs=2, **PICK)
    assert not done.failed
    assert set(peaks(out)) == {f"sections/{p}/data" for p in ("p1/MSI", "p1/control", "p2/MSI", "p2/control")}
    before = {path: path.stat().st_mtime_ns for path in out.rglob("peaks.csv")}
    again = run(study, out, jobs=2, **PICK)
    assert [each.action for each in again.planned] == ["skip"] * 4
    assert {path: path.stat().st_mtime_ns for path in out.rglob("peaks.csv")} == before
    frame = pd.read_csv(out / "manifest.csv")
    assert frame["status"].tolist() == ["done"] * 4
    assert frame["picked"].tolist() == [3] * 4


def test_results_are_those_of_pick(study, tmp_path):
    run(study, tmp_path / "out", jobs=2, **PICK)
    list(imn.pick_files([study], tmp_path / "alone", **PICK))
    for path in (tmp_path / "alone").rglob("*.csv"):
        assert path.read_bytes() == (tmp_path / "out/sections" / path.relative_to(tmp_path / "alone")).read_bytes()


def test_only_what_changed_is_done_again(study, tmp_path):
    out = tmp_path / "out"
    run(study, out, **PICK)
    make_section(study / "p1/MSI/data.imzML", 9)
    os.utime(study / "p1/control/data.imzML")  # touched, not changed
    shutil.rmtree(out / "sections/p2/MSI")
    make_section(study / "p3/data.imzML", 5)
    why = {each.sample.name: (each.action, each.why) for each in plan(study, out, **PICK)}
    assert why == {
        "p1/MSI/data": ("pick", "the file changed"),
        "p1/control/data": ("skip", "done"),
        "p2/MSI/data": ("pick", "its result is gone"),
        "p2/control/data": ("skip", "done"),
        "p3/data": ("pick", "new"),
    }
    assert {each.why for each in plan(study, out, scorer="moran", top=2)} >= {"settings, model or version changed"}
    assert {each.why for each in plan(study, out, force=True, **PICK)} == {"forced", "new"}
    assert not run(study, out, **PICK).failed
    assert {each.action for each in plan(study, out, **PICK)} == {"skip"}


def test_a_result_that_is_not_of_the_study_is_not_replaced(study, tmp_path):
    other = make_section(tmp_path / "other.imzML", 7)
    out = tmp_path / "out"
    list(imn.pick_files([other], out / "sections", name="p1/MSI/data", **PICK))
    kept = (out / "sections/p1/MSI/data/scores.csv").read_bytes()
    (failed,) = run(study, out, **PICK).failed
    assert "holds the result of" in failed.reason
    assert (out / "sections/p1/MSI/data/scores.csv").read_bytes() == kept


def test_bad_files_stop_no_other(study, tmp_path):
    (study / "p1/MSI/data.ibd").unlink()
    (study / "p2/MSI/data.imzML").write_text("<mzML>")
    out = tmp_path / "out"
    done = run([study, study / "absent.imzML"], out, jobs=2, **PICK)
    reasons = {entry.name: entry.reason for entry in done.failed}
    assert set(reasons) == {"p1/MSI/data", "p2/MSI/data", "absent"}
    assert "absent.imzML: no such file" in reasons["absent"]
    assert ".ibd" in reasons["p1/MSI/data"]
    assert len(peaks(out)) == 2
    assert {each.action for each in plan(study, out, **PICK)} == {"pick", "skip", "fail"}


def test_samples_of_a_list_keep_their_columns(study, tmp_path):
    listed = study / "samples.csv"
    listed.write_text("path;sample;patient;Batch\np1/MSI/data.imzML;first;p1;b1\np2/MSI/data.imzML;dir/second;p2;b2\n")
    done = run(listed, tmp_path / "out", **PICK)
    assert dict(done.entries["first"].columns) == {"patient": "p1", "batch": "b1"}
    assert set(peaks(tmp_path / "out")) == {"sections/first", "sections/dir/second"}


def test_new_columns_and_places_are_taken_over_without_picking(study, tmp_path):
    listed, out = study / "samples.csv", tmp_path / "out"
    rows = [["path", "sample", "patient"], ["p1/MSI/data.imzML", "a", "p1"], ["p2/MSI/data.imzML", "b", "p2"]]

    def write(*columns):
        lines = [[*row, *(column[k] for column in columns)] for k, row in enumerate(rows)]
        listed.write_text("\n".join(map(",".join, lines)) + "\n")

    def columns(manifest="manifest.csv"):
        return pd.read_csv(out / manifest).set_index("sample")

    write()
    run(listed, out, **PICK)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("peaks.csv")}
    write(["batch", "b1", "b2"])
    assert [(each.action, each.why) for each in plan(listed, out, **PICK)] == [("skip", "done; new columns")] * 2
    done = run(listed, out, **PICK)
    assert not done.failed
    assert columns()["batch"].to_dict() == {"a": "b1", "b": "b2"}
    assert {each.why for each in plan(listed, out, **PICK)} == {"done"}
    run([study / "p1/MSI/data.imzML"], out, **PICK)  # another name, so another section
    assert columns()["batch"].to_dict()["a"] == "b1"

    moved = study.rename(tmp_path / "disk 2")
    done = run(moved / "samples.csv", out, **PICK)
    assert [each.why for each in done.planned] == ["done; new place"] * 2
    assert columns()["path"]["a"] == str(moved / "p1/MSI/data.imzML")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("peaks.csv") if path in before} == before


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("path,sample\r\na.imzML,x\r,more\r\n", "line 2: .* carriage return .* line ends of one kind"),
        ("sample\na\n", "no column 'path'"),
        ("path,path\na,b\n", "two columns are called 'path'"),
        ("path,sample\n,a\n", "line 2: no file"),
        ("path,sample\na.imzML,../up\n", "line 2: the name of a sample"),
        ("path,sample\na.imzML,x\nb.imzML,X\n", "two samples have the same name"),
        ("path,sample\na.imzML,x\na.imzML,y\n", "two samples have the same file"),
    ],
)
def test_sample_lists_are_checked(tmp_path, text, match):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(imn.IonMorphNetError, match=match):
        plan(tmp_path / "list.csv", tmp_path / "out", **PICK)


def test_shards_together_are_the_study(study, tmp_path):
    out = tmp_path / "out"
    for k in (1, 2, 3):
        run(study, out, shard=f"{k}/3", **PICK)
    assert {each.action for each in plan(study, out, **PICK)} == {"skip"}
    assert len(peaks(out)) == 4
    assert len(list(out.glob("manifest-*of3.jsonl"))) == 3
    assert len(pd.read_csv(out / "manifest.csv")) == 4


def test_progress_has_an_estimate_and_ends_at_the_total(study, tmp_path):
    seen = []
    run(study, tmp_path / "out", jobs=1, progress=seen.append, **PICK)
    assert [each.done for each in seen if each.last is not None] == [1, 2, 3, 4]
    assert seen[0].remaining is None
    assert seen[-1].remaining == 0.0
    assert {stage.stage for each in seen for stage in each.running.values()} >= {"opening", "scoring"}


def test_two_runs_of_one_study_at_once_are_refused(study, tmp_path):
    from ionmorphnet.base.file_lock import FileLock

    (tmp_path / "out").mkdir()
    lock = FileLock(tmp_path / "out" / ".cohort")
    with pytest.raises(imn.FileError, match="another cohort run works on it"):
        run(study, tmp_path / "out", **PICK)
    lock.release()


def test_arguments_are_checked(study, tmp_path):
    with pytest.raises(imn.ArgumentError, match="no inputs"):
        run([], tmp_path / "out", **PICK)
    with pytest.raises(imn.ArgumentError, match="jobs"):
        run(study, tmp_path / "out", jobs=0, **PICK)
    with pytest.raises(imn.ArgumentError, match="i/n"):
        run(study, tmp_path / "out", shard="5/3", **PICK)
    with pytest.raises(imn.ArgumentError, match="scorer must be a name"):
        run(study, tmp_path / "out", scorer=lambda images: images)
    with pytest.raises(imn.ArgumentError, match="samples have their own names"):
        run(study, tmp_path / "out", name="x", **PICK)
    with pytest.raises(imn.ArgumentError, match="top"):
        run(study, tmp_path / "out", scorer="moran")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("run.json"))


def test_a_killed_run_is_resumed_without_loss(study, tmp_path):
    """Killed at several moments; the end is that of an undisturbed run, and nothing that was done is done again."""
    for k in range(6):
        make_section(study / f"more/s{k}.imzML", k)
    run(study, tmp_path / "calm", jobs=2, **PICK)
    out = tmp_path / "out"
    script = (
        "import sys, ionmorphnet as imn\n"
        "if __name__ == '__main__':\n"
        f"    imn.cohort.run({str(study)!r}, {str(out)!r}, jobs=2, scorer='moran', top=3,\n"
        "        progress=lambda p: p.last and print(p.last.name, flush=True))\n"
    )
    (tmp_path / "main.py").write_text(script)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    finished = {}
    for n in (1, 3):
        parent = subprocess.Popen([sys.executable, tmp_path / "main.py"], stdout=subprocess.PIPE, env=env, text=True)
        assert parent.stdout is not None
        for _ in range(n):
            parent.stdout.readline()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        lines = (out / "manifest.jsonl").read_text().splitlines()
        known = {json.loads(line)["name"] for line in lines if line.endswith("}")}
        for name, stamp in finished.items():
            assert (out / "sections" / name / "run.json").stat().st_mtime_ns == stamp
        finished = {name: (out / "sections" / name / "run.json").stat().st_mtime_ns for name in known}
        assert len(finished) >= n
        time.sleep(0.5)  # orphaned workers end by themselves
    done = run(study, out, jobs=2, **PICK)
    assert not done.failed
    assert peaks(out) == peaks(tmp_path / "calm")
    for name, stamp in finished.items():
        assert (out / "sections" / name / "run.json").stat().st_mtime_ns == stamp
    assert not list(out.rglob(".ionmorphnet-new-*"))


def test_a_scorer_that_a_name_made_is_known_another_time(study, tmp_path):
    """Workers load a scorer once; what they picked is not picked again by `pick` or by another worker."""
    path, out = study / "p1/MSI/data.imzML", tmp_path / "out"
    (first,) = imn.pick_files([path], out, scorer=imn.make_scorer(scorer="moran"), top=3)
    (named,) = imn.pick_files([path], out, **PICK)
    assert not first.picked[0].already_done
    assert named.picked[0].already_done


def test_ray_options_are_checked_and_ray_must_be_installed(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(imn.UnavailableError, match=r"--ray needs Ray: pip install 'ionmorphnet\[ray\]'"):
        run(study, tmp_path / "out", ray="local", **PICK)
    assert not list((tmp_path / "out").glob(".ray-*"))
    for wrong in ({"num_cpus": 0}, {"num_gpus": -1}, {"memory": "much"}, {"max_retries": -1}):
        with pytest.raises(imn.ArgumentError):
            run(study, tmp_path / "out", ray=imn.cohort.RayOptions(**wrong), **PICK)
    with pytest.raises(imn.ArgumentError, match="an address or RayOptions"):
        run(study, tmp_path / "out", ray=3, **PICK)


class OwnScorer(imn.ImageScorer):
    name = "own"
    description = "the mean"

    def score(self, images):
        return images.mean(axis=(1, 2))


def test_a_scorer_of_the_callers_is_asked_again(study, tmp_path):
    path, out = study / "p1/MSI/data.imzML", tmp_path / "out"
    for _ in range(2):
        (picked,) = imn.pick_files([path], out, scorer=OwnScorer(), top=3)
        assert not picked.picked[0].already_done
