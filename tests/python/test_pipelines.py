"""The examples for job arrays and workflow engines do what they say."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.cohort import find_consensus, run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
# Stands in for Slurm: notes the call, and runs the job at once, an array task by task.
SBATCH = """#!/bin/bash
echo "$*" >> "$CALLS"
tasks="" options=()
while [[ "$1" == --* ]]; do
  case "$1" in
    --array) tasks=$(seq ${2%-*} ${2#*-}); shift ;;
    --parsable) ;;
    *) shift ;;
  esac
  shift
done
export SLURM_JOB_ID=$((100 + $(wc -l < "$CALLS"))) SLURM_CPUS_PER_TASK=1 SLURM_MEM_PER_NODE=1000
if [ -n "$tasks" ]; then
  for SLURM_ARRAY_TASK_ID in $tasks; do export SLURM_ARRAY_TASK_ID; bash "$@" >&2 || exit 1; done
else
  bash "$@" >&2 || true
fi
echo $SLURM_JOB_ID
"""


@pytest.fixture
def sections(tmp_path: Path) -> Path:
    """Three good sections and a bad one, below a folder with a space in its name."""
    folder = tmp_path / "the study"
    folder.mkdir()
    for k in range(3):
        imn.simulate(folder / f"s{k}.imzML", shape=(18, 16), n_channels=20, seed=k)
    (folder / "bad.imzML").write_text("not imzML")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables with which `ionmorphnet` and `sbatch` are found."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "ionmorphnet").write_text(f'#!/bin/sh\nexec {sys.executable} -m ionmorphnet "$@"\n')
    (commands / "sbatch").write_text(SBATCH)
    for path in commands.iterdir():
        path.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
        "CALLS": str(tmp_path / "calls"),
    }


def check(out: Path, sections: Path, tmp_path: Path, shards: int) -> None:
    """The study is that of a plain run."""
    run(sections, tmp_path / "calm", jobs=1, scorer="moran", top=3)
    find_consensus(tmp_path / "calm")
    for path in [*(tmp_path / "calm/sections").rglob("*.csv"), *(tmp_path / "calm/consensus").glob("*.csv")]:
        assert path.read_bytes() == (out / path.relative_to(tmp_path / "calm")).read_bytes()
    frame = pd.read_csv(out / "manifest.csv").set_index("sample")
    assert frame["status"].to_dict() == {"bad": "failed", "s0": "done", "s1": "done", "s2": "done"}
    assert len(list(out.glob(f"manifest-*of{shards}.jsonl"))) == shards


def test_slurm_array_and_the_job_after_it(sections: Path, environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [EXAMPLES / "cohort_slurm.sh", sections, out, "2", "--scorer", "moran", "--top", "3"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "102\n"
    array, after = Path(environment["CALLS"]).read_text().splitlines()
    assert "--array 1-2 " in array
    assert "--dependency afterany:101 " in after
    assert "bad" in done.stderr
    assert "3 done, 1 failed" in done.stderr
    check(out, sections, tmp_path, 2)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("run.json")} == before
    manifest = [json.loads(line) for path in out.glob("manifest-*") for line in path.read_text().splitlines()]
    assert [each["name"] for each in manifest].count("s0") == 1


def test_snakemake(sections: Path, environment: dict[str, str], tmp_path: Path) -> None:
    if importlib.util.find_spec("snakemake") is None:
        pytest.skip("needs snakemake, which `make test-cluster` installs")
    config = ["study=the study", "out=the out", "shards=3", "options=--scorer moran --top 3"]
    command = [sys.executable, "-m", "snakemake", "-s", EXAMPLES / "cohort.smk", "--cores", "2", "--config", *config]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check(tmp_path / "the out", sections, tmp_path, 3)
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert "Nothing to be done" in again.stderr + again.stdout


def test_nextflow_is_said_not_to_be_run() -> None:
    """Its commands at least are those of the examples that are run."""
    text = (EXAMPLES / "cohort.nf").read_text()
    assert "NOT RUN" in text.partition("params.")[0]
    for command in ("cohort merge", "cohort consensus", "--failures-ok", "--shard ${shard}/${params.shards}"):
        assert command in text
