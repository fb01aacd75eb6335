"""Labels of simulated images that follow what can be seen."""

from __future__ import annotations

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.labelled.image_arrays import LabelledImages, LabelledItem
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.label_csv import LabelReport, one_hot
from ionmorphnet.labelled.sources import SimulatedSource
from ionmorphnet.labelled.visible import VisibleSource
from ionmorphnet.models.labels import CLASSES

WEAK, UNSTRUCTURED = CLASSES.index("weak_structured"), CLASSES.index("unstructured")


def _labelled_weak(image: np.ndarray) -> LabelledImages:
    store = ImageStore(2**20)
    item = LabelledItem("a", "k", one_hot(WEAK), 1.5, store.add(image.astype(np.float32)), (WEAK,))
    return LabelledImages("npz", store, [item], LabelReport())


def test_noise_becomes_unstructured() -> None:
    noise = np.random.default_rng(0).random((40, 40))
    seen = VisibleSource(_labelled_weak(noise))[0]
    assert seen.probabilities[UNSTRUCTURED] > 0.99
    assert seen.structure == pytest.approx(0.3, abs=0.02)


def test_what_can_be_seen_keeps_its_label() -> None:
    y, x = np.mgrid[:40, :40]
    disc = ((y - 20) ** 2 + (x - 20) ** 2 < 150) + 0.1 * np.random.default_rng(0).random((40, 40))
    seen = VisibleSource(_labelled_weak(disc))[0]
    assert seen.probabilities[WEAK] > 0.99
    assert seen.structure == pytest.approx(1.5, abs=0.02)


def test_the_limit_halves_the_label() -> None:
    noise = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    r = float(imn.image_statistics(noise[None])["reliability"][0])
    seen = VisibleSource(_labelled_weak(noise), limit=max(r, 0.0))[0]
    assert seen.probabilities.sum() == pytest.approx(1.0, abs=1e-6)
    assert seen.probabilities[UNSTRUCTURED] == pytest.approx(0.5, abs=0.51 if r < 0 else 0.01)


def test_scenes_and_description_stay() -> None:
    plain, seen = (make(SimulatedSource(4, 1, levels=2)) for make in (lambda s: s, VisibleSource))
    assert [seen[k].scene for k in range(4)] == [plain[k].scene for k in range(4)]
    np.testing.assert_array_equal(seen[2].image, plain[2].image)
    assert seen.describe()["reliability_limit"] == 0.5
    with pytest.raises(imn.ArgumentError, match="limit must be"):
        VisibleSource(plain, limit=2.0)
