"""Files that become shorter, or are written to, while they are read: in processes that a signal may end."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import grid_specs, write_imzml

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not shorten files that are mapped")

LOST = "section.ibd: could not be read to its end: it became shorter after it was opened, or its drive is gone\n"

SHORTENED = """
import os, sys
import numpy as np
import ionmorphnet as imn
from ionmorphnet import _core

class Scorer:
    name, precision, input_dtype = "host", "f32", "f32"
    batch, channels, n_statistics, n_outputs = 4, 2, 0, 7
    def enqueue(self, *addresses):
        pass

def on_a_device(ds):
    lo = np.arange(100.0, 1000.0)
    _core.score_windows_on_device(
        ds._native, lo, lo + 1, scorer=Scorer(), preprocess_id="p99-stretch-224-mask", device="emulated",
        device_memory=1 << 26, pinned_memory=1 << 17, threads=2,
    )

WAYS = {
    "spectrum": lambda ds: ds.spectrum(len(ds) - 1),
    "first": lambda ds: ds.spectrum(0),
    "again": lambda ds: ds.ion_images([300.0], tol=100.0),
    "images": lambda ds: ds.ion_images([300.0, 500.0], ppm=1e5, threads=2),
    "axis": lambda ds: imn.candidate_axis(ds),
    "pick": lambda ds: imn.pick(ds, scorer="moran", top=3),
    "device": on_a_device,
}
path, way, size = sys.argv[1:]
ds = imn.open(path)
if way == "again":  # what is known of the m/z by now is used
    WAYS[way](ds)
os.truncate(ds.ibd_path, int(size))
try:
    WAYS[way](ds)
except imn.FileError as error:
    print(error)
else:
    print("no error")
"""


def run(text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_imzml(tmp_path / "section.imzML", grid_specs(20, 20, n=100))


@pytest.mark.parametrize("way", ["spectrum", "again", "images", "axis", "pick", "device"])
@pytest.mark.parametrize("kind", ["processed", "continuous", "zlib"])
def test_an_ibd_that_becomes_shorter(tmp_path: Path, way: str, kind: str) -> None:
    shared = kind == "continuous"
    specs = grid_specs(20, 20, n=100, shared=shared)
    path = write_imzml(tmp_path / "section.imzML", specs, shared_axis=shared, compress=kind == "zlib")
    done = run(SHORTENED, path, way, 64 * 1024)  # of about 480, 160 and 400 kB
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(LOST)


def test_what_is_still_there_can_be_read(path: Path) -> None:
    done = run(SHORTENED, path, "first", 64 * 1024)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no error\n", "")


OTHER_SIGNALS = """
import mmap, os, signal, sys
import ionmorphnet as imn
ds = imn.open(sys.argv[1])
ds.spectrum(0)
if sys.argv[2] == "sent":
    os.kill(os.getpid(), signal.SIGBUS)
else:
    with open(sys.argv[3], "r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
        os.truncate(sys.argv[3], 0)
        view[5000]
"""


@pytest.mark.parametrize("cause", ["sent", "another mapping"])
@pytest.mark.parametrize("handler", [False, True], ids=["default", "faulthandler"])
def test_signals_that_are_not_ours_do_what_they_did(path: Path, tmp_path: Path, cause: str, handler: bool) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(10_000))
    text = ("import faulthandler; faulthandler.enable()\n" if handler else "") + OTHER_SIGNALS
    done = run(text, path, cause, other)
    assert done.returncode == -signal.SIGBUS
    assert ("Fatal Python error: Bus error" in done.stderr) == handler


def test_mappings_come_and_go(path: Path) -> None:
    assert faulthandler.is_enabled()  # what a signal that nobody watches for would show
    for _ in range(50):
        with imn.open(path) as one, imn.open(path) as two:
            assert np.array_equal(one.spectrum(3)[0], two.spectrum(3)[0])


def test_an_ibd_that_is_written_to_is_told(path: Path) -> None:
    warning = "its ibd file was written to after it was opened"
    ibd = path.with_suffix(".ibd")
    with imn.open(path) as ds:
        assert imn.pick(ds, scorer="moran", top=3).run["warnings"] == []
        os.utime(ibd, ns=(0, 10**18 + 1))
        assert [line for line in imn.pick(ds, scorer="moran", top=3).run["warnings"] if warning in line]
        # Another file at its place: the mapping keeps the one that was opened.
        data = ibd.read_bytes()
        ibd.unlink()
        ibd.write_bytes(data)
        assert imn.pick(ds, scorer="moran", top=3).run["warnings"] == []
