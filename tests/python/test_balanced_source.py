"""Balanced draws from labelled images."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.labelled.image_arrays import LabelledImages, LabelledItem
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.joined_source import JoinedSource
from ionmorphnet.labelled.label_csv import LabelReport, one_hot
from ionmorphnet.labelled.sources import SimulatedSource
from ionmorphnet.training.balanced import BalancedSource


def _source(name: str, classes: list[int]) -> LabelledImages:
    store, items = ImageStore(2**20), []
    for k, label in enumerate(classes):
        number = store.add(np.full((8, 8), 1.0 + k, np.float32))
        items.append(LabelledItem(name, str(k), one_hot(label), 1.0, number, (label,)))
    return LabelledImages("npz", store, items, LabelReport())


@pytest.fixture
def uneven() -> JoinedSource:
    """90 structured images of one section, and 9 structured and 1 negative one of another."""
    return JoinedSource([_source("large", [0] * 90), _source("small", [0] * 9 + [5])])


def _counts(source: BalancedSource) -> tuple[Counter[str], Counter[int]]:
    drawn = [source[k] for k in range(len(source))]
    return Counter(s.dataset for s in drawn), Counter(int(s.probabilities.argmax()) for s in drawn)


def test_powers_of_zero_keep_the_shares(uneven: JoinedSource) -> None:
    datasets, classes = _counts(BalancedSource(uneven, 4000, 1, dataset_power=0.0, class_power=0.0))
    assert datasets["large"] / 4000 == pytest.approx(0.9, abs=0.02)
    assert classes[5] / 4000 == pytest.approx(0.01, abs=0.006)


def test_datasets_are_balanced(uneven: JoinedSource) -> None:
    datasets, _ = _counts(BalancedSource(uneven, 4000, 1, dataset_power=1.0, class_power=0.0))
    assert datasets["large"] / 4000 == pytest.approx(0.5, abs=0.03)


def test_classes_are_balanced(uneven: JoinedSource) -> None:
    _, classes = _counts(BalancedSource(uneven, 4000, 1, dataset_power=0.0, class_power=1.0))
    assert classes[5] / 4000 == pytest.approx(0.5, abs=0.03)


def test_images_of_a_dataset_share_a_scene(uneven: JoinedSource) -> None:
    drawn = [BalancedSource(uneven, 200, 3)[k] for k in range(200)]
    assert {(s.dataset, s.scene) for s in drawn} == {("large", 0), ("small", 1)}


def test_draws_depend_on_seed_and_number_only(uneven: JoinedSource) -> None:
    def keys(seed: int) -> list[tuple[str, str]]:
        source = BalancedSource(uneven, 50, seed)
        return [(source[k].dataset, source[k].key) for k in reversed(range(50))][::-1]

    assert keys(1) == keys(1)
    assert keys(1) != keys(2)


def test_refusals(uneven: JoinedSource) -> None:
    with pytest.raises(imn.ArgumentError, match="known labels"):
        BalancedSource(SimulatedSource(4, 0), 4, 0)
    with pytest.raises(imn.ArgumentError, match="powers and padded from 0 to 1"):
        BalancedSource(uneven, 4, 0, class_power=2.0)
    with pytest.raises(IndexError):
        BalancedSource(uneven, 4, 0)[4]


def test_padded_images_keep_label_pixels_and_sample() -> None:
    store = ImageStore(2**20)
    image = np.zeros((12, 16), np.float32)
    image[4:8, 5:11] = 7.0
    bright = np.ones((12, 16), np.float32)
    items = [LabelledItem("a", key, one_hot(0), 3.0, store.add(x), (0,)) for key, x in (("d", image), ("b", bright))]
    drawn = [
        BalancedSource(LabelledImages("npz", store, items, LabelReport()), 60, 0, padded=1.0)[k] for k in range(60)
    ]
    dark = [s for s in drawn if s.key == "d"]
    assert all(s.image.shape == (12, 16) for s in drawn if s.key == "b")  # no dark border
    assert all(s.image.shape[0] > 12 or s.image.shape[1] > 16 for s in dark)
    assert all(int((np.nan_to_num(s.image) == 7.0).sum()) == 24 for s in dark)
    assert all(int(s.probabilities.argmax()) == 0 for s in dark)
    assert any(not s.mask.all() for s in dark)
