"""Cohort runs on Ray: the same results, also when workers and nodes are killed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ionmorphnet as imn
from cohort_work import Errands, NeverStarts, Noted
from ionmorphnet.cohort import CohortProgress, RayOptions, plan, run
from ionmorphnet.cohort.ray_workers import RayTeam, Resources
from ionmorphnet.cohort.supervisor import WorkerError

# Ray reads its environment when it is imported: the fixtures set that first.
if importlib.util.find_spec("ray") is None:
    pytest.skip("runs on Ray need the extra [ray]", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
PICK: dict[str, Any] = {"scorer": "moran", "top": 3}
SMALL = Resources(1.0, 0.0, 50 * 10**6)
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "a1" * 32,
    "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *(each for each in sys.path if each)]),
}
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class TwoNodes:
    """A cluster of two nodes with a core each; the driver belongs to the first."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.second = self.cluster.add_node(num_cpus=1)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill_second(self) -> None:
        """As a power cut: all processes of the node at once."""
        self.cluster.remove_node(self.second, allow_graceful=False)

    def restore(self) -> None:
        if self.second not in self.cluster.worker_nodes:
            self.second = self.cluster.add_node(num_cpus=1)


@pytest.fixture(scope="module")
def both() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        nodes = TwoNodes()
        yield nodes
        nodes.cluster.shutdown()


@pytest.fixture
def nodes(both: TwoNodes) -> TwoNodes:
    both.restore()
    return both


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sections")
    for k in range(6):
        imn.simulate(root / f"s{k}.imzML", shape=(20, 22), n_channels=30, seed=k)
    return root


def peaks(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): path.read_text() for path in sorted((out / "sections").rglob("*.csv"))}


def starts(folder: Path) -> Counter[int]:
    return Counter(int(path.name.split("-")[1]) for path in folder.glob("task-*"))


def wait_for(check: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_tasks_end_as_they_do_with_own_workers(nodes: TwoNodes, tmp_path: Path) -> None:
    tasks = [1, "die", 2, "fail no such file", 3, "die-once mark", "crash by zero", 4]
    with RayTeam(Errands(str(tmp_path)), RayOptions(nodes.address), SMALL) as team:
        results = {each.task: each for each in team.run(tasks)}
    assert len(results) == 8
    assert [results[k].value for k in (1, 2, 3, 4)] == [2, 4, 6, 8]
    assert (results["die-once mark"].value, results["die-once mark"].deaths) == ("alive", 1)
    assert results["die"].error == "its worker process died 2 times (killed, or crashed)"
    assert results["die"].deaths == 2
    assert results["fail no such file"].error == "no such file"
    assert results["crash by zero"].error.startswith("ZeroDivisionError: by zero (cohort_work.py:")


def test_workers_prepare_once(nodes: TwoNodes, tmp_path: Path) -> None:
    with RayTeam(Noted(str(tmp_path), 0.2), RayOptions(nodes.address), SMALL) as team:
        pids = [each.value for each in team.run(list(range(10)))]
    workers = {int(path.name.split("-")[1]) for path in tmp_path.glob("worker-*")}
    assert set(pids) == workers
    assert len(workers) <= 4  # two at once; Ray may replace one that idles
    assert starts(tmp_path) == Counter(range(10))


def test_a_killed_worker_costs_its_task_only(nodes: TwoNodes, tmp_path: Path) -> None:
    with RayTeam(Noted(str(tmp_path), 1.0), RayOptions(nodes.address), SMALL) as team:
        results = []
        for result in team.run(list(range(8))):
            results.append(result)
            if len(results) == 3:
                wait_for(lambda: len(starts(tmp_path)) >= 5)
                newest = max(tmp_path.glob("task-*"), key=lambda path: path.name.rsplit("-", 1)[1])
                victim = int(newest.name.split("-")[1])
                os.kill(int(newest.name.split("-")[2]), signal.SIGKILL)
    assert sorted(each.task for each in results) == list(range(8))
    assert all(each.value for each in results)
    assert starts(tmp_path) == Counter([*range(8), victim])
    assert {each.task: each.deaths for each in results} == {k: int(k == victim) for k in range(8)}


def test_a_killed_node_costs_its_tasks_only(nodes: TwoNodes, tmp_path: Path) -> None:
    with RayTeam(Noted(str(tmp_path), 1.5), RayOptions(nodes.address), SMALL) as team:
        results = []
        for result in team.run(list(range(8))):
            results.append(result)
            if len(results) == 2:
                wait_for(lambda: len(starts(tmp_path)) >= 4)
                nodes.kill_second()
    assert sorted(each.task for each in results) == list(range(8))
    assert all(each.value and not each.deaths for each in results)  # the task was not to blame
    again = starts(tmp_path) - Counter(range(8))
    assert sum(again.values()) == 1
    done_first = {each.task for each in results[:2]}
    assert not done_first & set(again)


def test_peaks_and_manifest_are_those_of_own_workers(nodes: TwoNodes, sections: Path, tmp_path: Path) -> None:
    """A worker is killed, then a node; the study is that of an undisturbed run on this machine."""
    sections = Path(shutil.copytree(sections, tmp_path / "in"))
    (sections / "broken.imzML").write_text("<mzML>")
    run(sections, tmp_path / "calm", jobs=2, **PICK)
    out, killed = tmp_path / "out", []

    def disturb(progress: CohortProgress) -> None:
        assert progress.last is not None
        if progress.done == 1 and not killed:
            killed.append(int(progress.last.worker.rpartition(":")[2]))
            os.kill(killed[0], signal.SIGKILL)
        elif progress.done == 3 and len(killed) == 1:
            killed.append(0)
            nodes.kill_second()

    done = run(sections, out, ray=nodes.address, memory_limit="100MB", progress=disturb, **PICK)
    assert len(killed) == 2
    assert [entry.name for entry in done.failed] == ["broken"]
    assert peaks(out) == peaks(tmp_path / "calm")
    frames = [pd.read_csv(each / "manifest.csv") for each in (out, tmp_path / "calm")]
    same = ["sample", "status", "reason", "candidates", "picked", "warnings", "results", "path", "version"]
    pd.testing.assert_frame_equal(frames[0][same], frames[1][same])
    lines = (out / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 7  # one attempt each: what was done was not done again
    # One goes on where the other stopped.
    assert {each.action for each in plan(sections, out, **PICK) if each.sample.name != "broken"} == {"skip"}
    assert not list(out.glob(".ray-*"))


def test_leaving_lets_tasks_clean_up(nodes: TwoNodes, tmp_path: Path) -> None:
    with RayTeam(Errands(str(tmp_path)), RayOptions(nodes.address), SMALL) as team:
        results = team.run(["write half.txt", 1])
        assert next(results).value == 2
        wait_for((tmp_path / "half.txt").exists)
    assert not (tmp_path / "half.txt").exists()


def test_work_that_cannot_start_ends_the_run(nodes: TwoNodes, tmp_path: Path) -> None:
    team = RayTeam[Any, Any](NeverStarts(), RayOptions(nodes.address), SMALL)
    with team, pytest.raises(WorkerError, match="workers cannot start: model: not found"):
        list(team.run([1, 2]))


def test_a_folder_that_a_node_lacks_is_named(nodes: TwoNodes, tmp_path: Path) -> None:
    from ionmorphnet.cohort.pick_work import PickWork

    work = PickWork(str(tmp_path / "out/sections"), None, PICK, marker=str(tmp_path / "out/.ray-x"))
    with RayTeam(work, RayOptions(nodes.address), SMALL) as team, pytest.raises(WorkerError) as caught:
        list(team.run([None]))
    assert "does not have this folder; all nodes must share it, or give a URL" in str(caught.value)


def test_too_large_a_task_is_told_and_waits_for_a_node(
    nodes: TwoNodes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RayTeam(Noted(str(tmp_path), 0.0), RayOptions(nodes.address), Resources(2.0, 0.0, 10**6)) as team:
        assert "no node has 2 cores and 1.0 MB, which a section reserves; waiting for one" in caplog.text
        extra = nodes.cluster.add_node(num_cpus=2)
        assert next(team.run([1])).value
        nodes.cluster.remove_node(extra)


SCRIPT = """
import os, signal, sys
import ionmorphnet as imn
if __name__ == "__main__":
    before = signal.getsignal(signal.SIGTERM)
    listening = []
    def look(progress):
        if not listening:
            listening.append(os.popen("ss -Hltnp").read())
    done = imn.cohort.run(sys.argv[1], sys.argv[2], ray="local", scorer="moran", top=3, progress=look)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not [name for name in os.environ if name.startswith("RAY_")]
    ray = [line.split()[3] for line in listening[0].splitlines() if "ray" in line or "gcs_server" in line]
    print(len(done.failed), len(ray), [each for each in ray if "127.0.0.1" not in each])
"""


def test_ray_on_this_machine_is_quiet_private_and_goes_again(sections: Path, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(SCRIPT)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env["PYTHONPATH"] = SETTINGS["PYTHONPATH"]
    before = {path.name for path in Path("/tmp").glob("imn-ray-*")}
    done = subprocess.run(
        [sys.executable, tmp_path / "main.py", sections, tmp_path / "out"],
        capture_output=True,
        text=True,
        env=env,
        timeout=300,
    )
    assert done.stderr == ""
    failed, sockets, public = done.stdout.split(maxsplit=2)
    assert (failed, public.strip()) == ("0", "[]")
    assert int(sockets) >= 3
    assert {path.name for path in Path("/tmp").glob("imn-ray-*")} <= before
    run(sections, tmp_path / "calm", jobs=2, **PICK)
    assert peaks(tmp_path / "out") == peaks(tmp_path / "calm")


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for k in range(4):
        imn.simulate(tmp_path / f"in/s{k}.imzML", shape=(60, 60), n_channels=200, seed=k)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ionmorphnet", "cohort", "run", tmp_path / "in", "-o", out, "--ray", "local"]
    command += ["--scorer", "moran", "--top", "3", "--jobs", "1"]
    env = {**os.environ, "PYTHONPATH": SETTINGS["PYTHONPATH"]}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )
    wait_for(lambda: (out / "manifest.jsonl").is_file(), 120.0)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout, stderr.strip()) == (130, "", "ionmorphnet: stopped")
    assert not list(out.rglob(".ionmorphnet-new-*"))
    assert not list(out.glob(".ray-*"))
    own_workers = ["cohort", "run", tmp_path / "in", "-o", out, "--scorer", "moran", "--top", "3", "--json"]
    todo = Counter(each["action"] for each in json.loads(cli(*own_workers, "--dry-run").stdout))
    assert todo["skip"] >= 1
    assert todo["pick"] >= 1
    again = cli(*own_workers)
    assert again.code == 0
    assert Counter(each["action"] for each in json.loads(again.stdout)["sections"]) == todo


def test_clusters_with_other_tokens_in_one_process(
    nodes: TwoNodes, sections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster here has a token of its own, and the next one is reached with that of the user again."""
    for k, address in enumerate([nodes.address, "local", nodes.address]):
        with monkeypatch.context() as patch:
            if address == "local":
                for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
                    patch.delenv(name)
            out = tmp_path / f"out{k}"
            assert not run(sections / "s0.imzML", out, ray=address, memory_limit="100MB", **PICK).failed


def test_the_command_line_says_in_one_line_what_is_wrong(
    cli: Callable[..., Any], sections: Path, tmp_path: Path
) -> None:
    command = ["cohort", "run", sections, "-o", tmp_path / "out", "--scorer", "moran", "--top", "3"]
    cli(*command, "--ray", "127.0.0.1:1").is_one_line_error("--ray 127.0.0.1:1: no cluster answers there")
    assert "--ray-gpus needs --ray" in cli(*command, "--ray-gpus", "1").stderr


def test_errors_are_one_line_and_say_what_to_do(tmp_path: Path, sections: Path) -> None:
    for address, match in (
        ("127.0.0.1:1", "no cluster answers there: .*refused; start one with 'ray start --head'"),
        ("nonsense", "takes 'local', 'auto' or HOST:PORT, not 'nonsense'"),
        ("ray://head:10001", "on a node of the cluster, with --ray auto"),
    ):
        with pytest.raises(imn.IonMorphNetError, match=match) as caught:
            run(sections, tmp_path / "out", ray=address, **PICK)
        assert "\n" not in str(caught.value)
    with pytest.raises(imn.UnavailableError, match=r"--ray local: no node has 4096 cores and 4\.0 GB.*give smaller"):
        run(sections, tmp_path / "out", ray=RayOptions(num_cpus=4096), **PICK)
