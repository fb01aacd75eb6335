"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Before torch is loaded: threads that wait for each other sleep instead of spinning, which on a busy machine makes
# some tests a hundred times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
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


@pytest.fixture(scope="session")
def short_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder made by the command that makes the bundled one, with 64 images of 32 pixels and then 16 of 64."""
    pytest.importorskip("torch", reason="training needs the extra [train]")
    root = Path(__file__).resolve().parents[1]
    out = tmp_path_factory.mktemp("short")
    sizes = ["--size", "32,64", "--images", "64,16", "--batch", "16,8", "--no-compile", "--threads", "1"]
    export = ["--folder", str(out / "model"), "--name", "short", "--export-images", "24"]
    command = [sys.executable, str(root / "scripts" / "train_bundled_model.py"), "--out", str(out / "run")]
    done = subprocess.run([*command, *sizes, *export], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [str(out / "run" / "weights.pt"), str(out / "model")]
    return out / "model"
