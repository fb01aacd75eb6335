"""The device loop with the bundled network: with little memory, so that all buffers go round, as with plenty.

On a GPU this is what shows a missing wait between streams; the emulation runs the same code with fewer images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from kernels import DeviceCalls

pytest.importorskip("torch", reason="needs the extra [train]")

from ionmorphnet.scoring.torch.scorer import TorchScorer

KIB = 1 << 10


class Wrapped:
    """A scorer that fails at one of its calls."""

    def __init__(self, scorer: TorchScorer, fails_at: int) -> None:
        self._scorer, self._left = scorer, fails_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def enqueue(self, *arguments: int) -> None:
        self._left -= 1
        if self._left == 0:
            raise imn.IonMorphNetError("out of order")
        self._scorer.enqueue(*arguments)


@pytest.fixture(scope="module", params=["continuous", "processed"])
def section(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """40 x 48 pixels, and the m/z of 640 channels."""
    path = tmp_path_factory.mktemp(request.param) / "section.imzML"
    imn.simulate(path, shape=(40, 48), n_channels=640, mode=request.param, seed=11)
    return path, pd.read_csv(path.with_name("section_truth.csv"))["mz"].to_numpy()


@pytest.fixture(scope="module", params=["emulated", "cuda"])
def where(request: pytest.FixtureRequest) -> tuple[str, TorchScorer, int]:
    """Device of the loop, the scorer, and how many images to score."""
    if request.param == "emulated":
        return "emulated", TorchScorer(imn.load_model(), device="cpu", precision="f32", batch=4), 22
    device = request.getfixturevalue("cuda")
    scorer = TorchScorer(imn.load_model(), device=device, precision="f32", batch=16, compiled=False)
    return device, scorer, 640


def score(
    ds: imn.Dataset, mz: np.ndarray, scorer: Any, device: str, **limits: int
) -> tuple[np.ndarray, dict[str, Any]]:
    model = imn.load_model()
    outputs, _, timings = DeviceCalls(device).score_windows_on_device(
        ds._native,
        mz * (1 - 5e-6),
        mz * (1 + 5e-6),
        scorer=scorer,
        preprocess_id=model.preprocessing,
        statistics=list(model.statistics),
        **limits,
    )
    return outputs, timings


@pytest.fixture(scope="module")
def roomy(
    section: tuple[Path, np.ndarray], where: tuple[str, TorchScorer, int]
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """m/z of the channels that a test scores, and their outputs and timings with plenty of memory."""
    (path, mz), (device, scorer, n) = section, where
    mz = mz[:: len(mz) // n][:n]
    with imn.open(path) as ds:
        return mz, *score(ds, mz, scorer, device)


def test_buffers_that_go_round(
    section: tuple[Path, np.ndarray],
    where: tuple[str, TorchScorer, int],
    roomy: tuple[np.ndarray, np.ndarray, dict[str, Any]],
) -> None:
    (path, _), (device, scorer, _), (mz, wanted, timings) = section, where, roomy
    assert timings["chunks"] < 40
    with imn.open(path) as ds:
        for _ in range(1 if device == "emulated" else 8):
            outputs, tight = score(ds, mz, scorer, device, pinned_memory=96 * KIB, device_memory=256 << 20)
            np.testing.assert_allclose(outputs, wanted, rtol=0, atol=2e-5)
    assert tight["chunks"] > 2 * tight["device_chunks"] > 6
    assert tight["batches_ahead"] == 4
    assert tight["strips"] > 2
    assert np.ptp(wanted[:, -1]) > 1.0  # images differ, so that one in another's place shows


def test_a_scorer_that_fails_leaves_the_device_as_it_was(
    section: tuple[Path, np.ndarray],
    where: tuple[str, TorchScorer, int],
    roomy: tuple[np.ndarray, np.ndarray, dict[str, Any]],
) -> None:
    (path, _), (device, scorer, _), (mz, wanted, _) = section, where, roomy
    with imn.open(path) as ds:
        for fails_at in (1, 2, 4):
            with pytest.raises(imn.IonMorphNetError, match="out of order"):
                score(ds, mz, Wrapped(scorer, fails_at), device, pinned_memory=96 * KIB, device_memory=256 << 20)
        outputs, _ = score(ds, mz, scorer, device)
    np.testing.assert_allclose(outputs, wanted, rtol=0, atol=2e-5)
