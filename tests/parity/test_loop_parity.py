"""The native scoring loop against its stages one after the other: preprocess, statistics, network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.labels import STATISTICS
from native import _core_testing

pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
from model_factory import Network, write_model, write_network

MASKED = "p99-stretch-224-mask"
SUBSETS = [STATISTICS, ("coverage",), ("chaos", "moran"), ()]


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    """75 images, a third of them blank, in runs and alone; the first and the last are."""
    y, x = np.mgrid[:21, :30] / 20
    stack = rng.exponential(size=(75, 21, 30)) * (0.2 + ((y - 0.5) ** 2 + (x - 0.7) ** 2 < rng.random((75, 1, 1)) / 4))
    blank = rng.random(75) < 0.25
    blank[[0, 1, -2, -1]] = True
    blank[20:31] = True
    stack[blank] = 0
    stack[1] = 7.5
    stack[22] = np.nan
    return stack.astype(np.float32)


def by_hand(network: Network, images: np.ndarray, mask: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Outputs of the images that are not blank, 0 for the others."""
    seen = ~_core_testing.find_blank(images, MASKED, mask)
    columns = [STATISTICS.index(name) for name in names]
    statistics = _core.image_statistics(images[seen], mask)[:, columns] if names else None
    outputs = np.zeros((len(images), len(network.bias)), np.float32)
    outputs[seen] = network(_core.preprocess(images[seen], MASKED, mask), statistics)
    return outputs


@pytest.mark.parametrize("batch", [1, 2, 5, 32, 100])
@pytest.mark.parametrize("names", SUBSETS)
def test_callback(
    tmp_path: Path, images: np.ndarray, rng: np.random.Generator, names: tuple[str, ...], batch: int
) -> None:
    network = write_network(tmp_path / "m.onnx", n_outputs=7, n_statistics=len(names), channels=2)
    mask = (rng.random(images.shape[1:]) < 0.9).astype(np.uint8)
    sizes = []

    def call(*inputs: np.ndarray) -> np.ndarray:
        assert len(inputs) == 1 + bool(names)
        sizes.append(len(inputs[0]))
        return network(*inputs)

    scorer = _core.callback_scorer(call, 2, 224, 224, 7, batch, n_statistics=len(names))
    outputs, blank, timings = _core.score_stack(
        images, mask, scorer=scorer, preprocess_id=MASKED, statistics=list(names)
    )
    np.testing.assert_array_equal(blank, _core_testing.find_blank(images, MASKED, mask))
    assert 10 < blank.sum() < 50
    np.testing.assert_allclose(outputs, by_hand(network, images, mask, names), rtol=1e-5, atol=1e-5)
    # Blank images never reach the network, and only the last batch is short.
    assert sum(sizes) == (~blank).sum()
    assert set(sizes[:-1]) <= {batch}
    assert (timings["statistics_s"] > 0) == bool(names)


@pytest.mark.parametrize("names", SUBSETS)
def test_openvino(tmp_path: Path, images: np.ndarray, rng: np.random.Generator, names: tuple[str, ...]) -> None:
    network = write_model(tmp_path / "m", structure=True, statistics=names, preprocessing=MASKED)
    mask = (rng.random(images.shape[1:]) < 0.9).astype(np.uint8)
    scorer = imn.make_scorer(model=tmp_path / "m", precision="f32")
    outputs, blank, _ = _core.score_stack(images, mask, **scorer.native_arguments())
    np.testing.assert_allclose(outputs, by_hand(network, images, mask, names), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(blank, _core_testing.find_blank(images, MASKED, mask))


@pytest.mark.parametrize("which", ["none", "all", "first", "last"])
def test_any_place_of_blank_images(which: str, rng: np.random.Generator) -> None:
    images = rng.random((11, 6, 7)).astype(np.float32)
    images[{"none": [], "all": range(11), "first": [0], "last": [10]}[which]] = 2
    calls = []

    def call(batch: np.ndarray) -> np.ndarray:
        calls.append(len(batch))
        return batch.mean(axis=(2, 3)) * [1, 2]

    scorer = _core.callback_scorer(call, 1, 224, 224, 2, 4)
    done = []
    outputs, blank, _ = _core.score_stack(
        images, scorer=scorer, preprocess_id="p99-stretch-224", progress=lambda k, n: done.append((k, n))
    )
    seen = _core.preprocess(images, "p99-stretch-224").mean(axis=(2, 3)) * [1, 2]
    np.testing.assert_allclose(outputs, np.where(blank[:, None], 0, seen), atol=1e-6)
    assert blank.sum() == {"none": 0, "all": 11, "first": 1, "last": 1}[which]
    assert done[-1] == (11, 11)
    assert sum(calls) == 11 - blank.sum()


def test_classical_scores_of_blank_images_are_zero(images: np.ndarray) -> None:
    outputs, blank, timings = _core.score_stack(images, statistic="moran")
    assert blank.sum() > 10
    assert (outputs[blank] == 0).all()
    assert (outputs[~blank] != 0).all()
    assert timings["statistics_s"] == 0


def test_statistics_that_do_not_fit_the_network(images: np.ndarray) -> None:
    scorer = _core.callback_scorer(lambda x, s: s, 1, 224, 224, 2, 4, n_statistics=2)
    arguments = {"scorer": scorer, "preprocess_id": "p99-stretch-224"}
    with pytest.raises(ArgumentError, match="expects 2 statistics per image, not 1"):
        _core.score_stack(images, statistics=["moran"], **arguments)
    with pytest.raises(ArgumentError, match="expects 2 statistics per image, not 0"):
        _core.score_stack(images, **arguments)
    with pytest.raises(ArgumentError, match="moran, blur, chaos"):
        _core.score_stack(images, statistics=["moran", "x"], **arguments)
