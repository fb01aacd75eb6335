"""A streaming loop that fails while its background thread waits for room must wake that thread to join it.

Each run has its own process: a lost wake-up blocks in native code, where nothing but a kill ends it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imzml_factory import Spec, write_imzml

HOST = """
def call(images):
    time.sleep(0.5)  # both strip buffers are full by now, and the producer waits for one to be released
    raise RuntimeError("enough")

scorer = _core.callback_scorer(call, 1, 224, 224, 2, 1)
_core.score_windows(ds._native, lo, hi, scorer=scorer, preprocess_id="p99-stretch-224", memory_limit=4 * 21 * 30 * 4)
"""

DEVICE = """
class Slow:
    name, precision, input_dtype, batch, channels, size, n_outputs, n_statistics = "slow", "f32", "f32", 1, 1, 224, 1, 0

    def enqueue(self, images, statistics, outputs, stream):
        time.sleep(0.2)

begun = time.monotonic()

def progress(done, total):
    if time.monotonic() > begun + 0.8:  # all chunk slots are full by now, and the reader waits for one
        raise RuntimeError("enough")

_core_testing.score_windows_on_device(
    ds._native, lo, hi, scorer=Slow(), preprocess_id="p99-stretch-224", device="emulated",
    device_memory=40 << 20, pinned_memory=100 << 10, progress=progress,
)
"""

SETUP = """
import sys, time
import numpy as np
import ionmorphnet as imn
from ionmorphnet import _core, _core_testing

ds = imn.open(sys.argv[1])
lo = np.arange(200.0, 240.0) - 0.1
hi = lo + 0.2
"""


@pytest.mark.parametrize("loop", [HOST, DEVICE], ids=["host", "device"])
def test_a_failing_loop_wakes_its_background_thread(tmp_path: Path, loop: str) -> None:
    rng = np.random.default_rng(1)
    mz = np.arange(200.0, 240.0)
    spectra = [
        Spec(x + 1, y + 1, mz, rng.exponential(size=40).astype(np.float32)) for y in range(21) for x in range(30)
    ]
    path = write_imzml(tmp_path / "section.imzML", spectra, shared_axis=True, spectrum_type="centroid")
    ran = subprocess.run(
        [sys.executable, "-c", SETUP + loop, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=dict(os.environ),
    )
    assert ran.returncode == 1
    assert ran.stderr.rstrip().endswith("RuntimeError: enough")
