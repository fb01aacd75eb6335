"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

# Before torch is loaded: threads that wait for each other sleep instead of spinning, which on a busy machine makes
# some tests a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tests of several processes at once (pytest-xdist) share the cores: one thread of torch's for each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before Triton is: without a GPU its interpreter runs the kernels.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import pytest

# A shell without job control starts background jobs with Ctrl-C ignored; the tests of Ctrl-C need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Where a file or folder of the third-party sections is, which are not part of the repository.

    The test skips where there are none, or where IMN_SHARED_DATA names a folder that has a part of them.
    """
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("IMN_SHARED_DATA", default))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists() and (folder != default or not folder.is_dir()):
            pytest.skip(f"third-party test data not found at {path} (set IMN_SHARED_DATA)")
        return path

    return find


@pytest.fixture(scope="session")
def cuda() -> str:
    """Name of a GPU that this build can use; without one the test skips, or fails under IMN_REQUIRE_GPU=1."""
    from ionmorphnet import build_info

    found = build_info()
    if not found["cuda"]["usable"]:
        reason = f"no usable GPU: {found['cuda']['reason']}"
        if os.environ.get("IMN_REQUIRE_GPU") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return str(found["auto"])


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded generator: a failing test fails again."""
    return np.random.default_rng(20260419)


@pytest.fixture(scope="session")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated processed centroid section."""
    import ionmorphnet as imn

    path = tmp_path_factory.mktemp("section") / "small section.imzML"
    imn.simulate(path, shape=(40, 50), n_channels=60, mode="processed", seed=11)
    return path


def _train_short_model(torch: ModuleType, out: Path) -> None:
    script = Path(__file__).resolve().parents[1] / "scripts" / "train_bundled_model.py"
    sizes = ["--size", "32,64", "--images", "64,16", "--batch", "16,8", "--no-compile", "--threads", "1"]
    export = ["--folder", str(out / "model"), "--name", "short", "--export-images", "24"]
    threads = torch.get_num_threads()
    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(told):
        patch.setattr(sys, "argv", [script.name, "--out", str(out / "run"), *sizes, *export])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(script), run_name="__main__")
    torch.set_num_threads(threads)
    assert stop.value.code == 0
    assert told.getvalue().splitlines()[-2:] == [str(out / "run" / "weights.pt"), str(out / "model")]


@pytest.fixture(scope="session")
def short_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder made by the command that makes the bundled one, with 64 images of 32 pixels and then 16 of 64."""
    torch = pytest.importorskip("torch", reason="training needs the extra [train]")
    base = tmp_path_factory.getbasetemp()
    # Test processes (pytest-xdist) have folders next to each other: the first one that needs the model trains it.
    out = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "short"
    out.mkdir(exist_ok=True)
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "model").exists():
            _train_short_model(torch, out)
    return out / "model"
