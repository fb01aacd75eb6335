"""Files that are truncated or written to while they are read, in processes that a signal may end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ionmorphnet as imn
from imzml_factory import grid_specs, write_imzml

LOST = "section.ibd: cannot be read to its end: it was truncated after it was opened, or its drive was disconnected\n"

SHORTENED = """
import os, sys
import numpy as np
import ionmorphnet as imn
from ionmorphnet import _core, _core_testing

class Scorer:
    name, precision, input_dtype = "host", "f32", "f32"
    batch, channels, size, n_statistics, n_outputs = 4, 2, 224, 0, 7
    def enqueue(self, *addresses):
        pass

def on_a_device(ds):
    lo = np.arange(100.0, 1000.0)
    _core_testing.score_windows_on_device(
        ds._native, lo, lo + 1, scorer=Scorer(), preprocess_id="p99-stretch-224-mask", device="emulated",
        device_memory=1 << 26, pinned_memory=1 << 17, threads=2,
    )

WAYS = {
    "spectrum": lambda ds: ds.spectrum(len(ds) - 1),
    "again": lambda ds: ds.ion_images([300.0], tol=100.0),
    "images": lambda ds: ds.ion_images([300.0, 500.0], ppm=1e5, threads=2),
    "axis": lambda ds: imn.candidate_axis(ds),
    "pick": lambda ds: imn.pick(ds, scorer="moran", top=3),
    "device": on_a_device,
}
path, way, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
ds = imn.open(path)
if way == "again":  # uses the m/z range found so far
    WAYS[way](ds)
os.truncate(ds.ibd_path, size if size > 0 else os.path.getsize(ds.ibd_path) + size)
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
@pytest.mark.parametrize("size", [64 * 1024, 64 * 1024 + 200, -100])  # the second and third sizes end within a page
def test_an_ibd_that_becomes_shorter(tmp_path: Path, way: str, kind: str, size: int) -> None:
    shared = kind == "continuous"
    specs = grid_specs(20, 20, n=100, shared=shared)
    path = write_imzml(tmp_path / "section.imzML", specs, shared_axis=shared, compress=kind == "zlib")
    done = run(SHORTENED, path, way, size)  # of about 480, 160 and 400 kB
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(LOST)


REGROWN = """
import os, sys
import ionmorphnet as imn
with imn.open(sys.argv[1]) as ds:
    size = os.path.getsize(ds.ibd_path)
    os.truncate(ds.ibd_path, 64 * 1024)
    for i in (-1, 0):
        try:
            ds.spectrum(i)
        except imn.FileError as error:
            print(error)
        os.truncate(ds.ibd_path, size)
"""


def test_what_was_lost_stays_lost_whatever_the_size_is_later(path: Path) -> None:
    done = run(REGROWN, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(LOST) == 2


REOPENED = """
import os, sys
import ionmorphnet as imn
path = sys.argv[1]
for size in (None, 9000, 65636, None):
    with imn.open(path, strict=False) as ds:
        whole = ds.n_spectra
        if size is not None:
            os.truncate(ds.ibd_path, size)
        try:
            ds.spectrum(whole - 1)
            print("read", whole)
        except imn.FileError as error:
            print("lost", whole)
"""


def test_a_mapping_that_follows_one_that_lost_pages(path: Path) -> None:
    done = run(REOPENED, path)
    assert done.returncode == 0
    # 1,200 bytes per spectrum after 16 of the UUID; os.truncate can also extend a file.
    assert done.stdout.splitlines() == ["read 400", "lost 400", "read 7", "read 54"]


OTHER_SIGNALS = """
import mmap, os, signal, sys
import ionmorphnet as imn
if sys.argv[2] == "ignored":
    signal.signal(signal.SIGBUS, signal.SIG_IGN)
ds = imn.open(sys.argv[1])
ds.spectrum(0)
if sys.argv[2] == "ignored":
    os.kill(os.getpid(), signal.SIGBUS)
    os.truncate(ds.ibd_path, 0)  # still watched
    try:
        ds.spectrum(0)
    except imn.FileError as error:
        print(error)
elif sys.argv[2] == "sent":
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


def test_a_signal_that_is_ignored_is_ignored(path: Path) -> None:
    done = run(OTHER_SIGNALS, path, "ignored")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(LOST)


def test_an_ibd_that_is_written_to_is_told(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warning = "its ibd file was written to after it was opened"
    monkeypatch.chdir(path.parent)
    path = Path(path.name)
    ibd = path.with_suffix(".ibd").absolute()
    with imn.open(path) as ds:
        monkeypatch.chdir("/")  # from here on, a relative path refers to another file
        before = imn.pick(ds, scorer="moran", top=3)
        assert warning not in " ".join(before.run.warnings)
        os.utime(ibd, ns=(0, 10**18 + 1))
        assert ds.was_changed
        before.save(tmp_path / "run")  # reads images of the picks
        for run in (imn.pick(ds, scorer="moran", top=3).run, imn.open_run(tmp_path / "run", dataset=ds).run):
            assert run is not None
            assert [line for line in run.warnings if warning in line]
        # Replaced by another file: the mapping keeps the original.
        data = ibd.read_bytes()
        ibd.unlink()
        ibd.write_bytes(data)
        assert warning not in " ".join(imn.pick(ds, scorer="moran", top=3).run.warnings)
