"""Worker processes that die, fail, and are told to stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ionmorphnet as imn
from cohort_work import Errands, NeverStarts
from ionmorphnet.cohort.supervisor import Supervisor, WorkerError

ROOT = Path(__file__).resolve().parents[2]


def gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rsplit(")", 1)[1].split()[0] == "Z"


def wait_for(check, seconds=30.0):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_all_tasks_are_done_whatever_happens_to_workers(tmp_path):
    tasks = [1, "die", 2, "fail no such file", 3, "die-once mark", "crash by zero", 4]
    pids = {}
    with Supervisor(Errands(str(tmp_path)), 2, news=lambda task, pid: pids.setdefault(task, []).append(pid)) as team:
        results = {each.task: each for each in team.run(tasks)}
    assert [results[k].value for k in (1, 2, 3, 4)] == [2, 4, 6, 8]
    assert results["die-once mark"].value == "alive"
    assert results["die-once mark"].deaths == 1
    assert results["die"].error == "its worker process died 2 times (signal SIGKILL)"
    assert results["fail no such file"].error == "no such file"
    assert results["crash by zero"].error.startswith("ZeroDivisionError: by zero (cohort_work.py:")
    assert len(pids["die"]) == 2
    assert len(set(pids["die"])) == 2
    wait_for(lambda: all(gone(pid) for each in pids.values() for pid in each))


def test_no_more_workers_than_tasks_and_one_is_enough(tmp_path):
    pids = set()
    with Supervisor(Errands(str(tmp_path)), 1, news=lambda _, pid: pids.add(pid)) as team:
        assert sorted(each.value for each in team.run([1, 2, 3])) == [2, 4, 6]
        assert [each.value for each in team.run([5])] == [10]  # the worker is kept
        assert list(team.run([])) == []
    assert len(pids) == 1


def test_leaving_lets_workers_clean_up(tmp_path):
    def interrupt(_task, _pid):
        wait_for((tmp_path / "half.txt").exists)
        raise KeyboardInterrupt

    with Supervisor(Errands(str(tmp_path)), 1, news=interrupt) as team, pytest.raises(KeyboardInterrupt):
        next(team.run(["write half.txt"]))
    assert not (tmp_path / "half.txt").exists()


def test_workers_that_cannot_start_are_an_error():
    with Supervisor(NeverStarts(), 2) as team, pytest.raises(WorkerError, match="workers cannot start: model: not"):
        list(team.run([1, 2]))
    with Supervisor(NeverStarts(kill=True), 2) as team, pytest.raises(WorkerError, match="exit code 7"):
        list(team.run([1, 2]))


def test_jobs_must_be_positive():
    with pytest.raises(imn.ArgumentError, match="jobs"):
        Supervisor(Errands(""), 0)


def test_workers_end_with_a_killed_parent_and_clean_up(tmp_path):
    script = (
        "from cohort_work import Errands; from ionmorphnet.cohort.supervisor import Supervisor\n"
        "if __name__ == '__main__':\n"
        f"    with Supervisor(Errands({str(tmp_path)!r}), 1, news=lambda t, pid: print(pid, flush=True)) as team:\n"
        "        list(team.run(['write half.txt']))\n"
    )
    (tmp_path / "main.py").write_text(script)
    path = os.pathsep.join([str(ROOT / "tests"), *(each for each in sys.path if each)])
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "main.py"], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    wait_for((tmp_path / "half.txt").exists)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: gone(worker))
    assert not (tmp_path / "half.txt").exists()
