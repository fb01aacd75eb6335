"""The sample map of a section as a channel of the network, and networks of other input sizes, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import _core
from ionmorphnet.base.stacks import checked_sample
from ionmorphnet.io.candidates import candidate_axis
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.reference.preprocess import preprocess
from ionmorphnet.scoring.scorer import ScoreOptions

pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
from model_factory import Network, write_model

ID = "p99-area-48-mask-sqrt-sample"


@pytest.fixture
def written(tmp_path: Path) -> tuple[Model, Network]:
    """A model that reads all channels, at 48 pixels."""
    network = write_model(tmp_path / "m", structure=True, preprocessing=ID)
    return load_model(tmp_path / "m"), network


def logits(
    network: Network, images: np.ndarray, sample: np.ndarray | None, mask: np.ndarray | None = None
) -> np.ndarray:
    return network(preprocess(images, ID, mask, sample))


def test_the_map_reaches_the_network(
    written: tuple[Model, Network], images: np.ndarray, rng: np.random.Generator
) -> None:
    model, network = written
    images = images[:2]
    for sample in (None, rng.random(images.shape[1:]), np.ones(images.shape[1:], np.int8)):
        expected = model.probabilities(logits(network, images, None if sample is None else sample.astype(np.float32)))
        frame = imn.score_images(images, sample=sample, model=model, precision="f32")
        np.testing.assert_allclose(frame[list(imn.models.labels.PROBABILITY_COLUMNS)], expected, atol=2e-5)
        again = imn.score_images(images, sample=sample, model=model, scorer=lambda x: network(x))
        np.testing.assert_allclose(again["score"], frame["score"], atol=2e-5)


def test_the_map_of_a_section_reaches_the_network(
    written: tuple[Model, Network], section: Path, rng: np.random.Generator
) -> None:
    """Pixels without a spectrum are not measured; the map is that of the section, whatever the strip."""
    model, network = written
    with imn.open(section) as ds:
        axis = candidate_axis(ds)
        stack = np.nan_to_num(ds.window_images(axis.mz_lo, axis.mz_hi))
        scorer = imn.make_scorer(model=model, precision="f32")
        found = []
        for sample in (None, rng.random(ds.shape).astype(np.float32)):
            limit = 4 * 4 * stack[0].size * 20  # strips of 20 images
            scores = scorer.score_windows(ds, axis, ScoreOptions(memory_limit=limit, sample=sample))
            assert scores.timings["strips"] > 1
            expected = model.score(None, model.structure(logits(network, stack, sample, ds.mask)))  # type: ignore[arg-type]
            np.testing.assert_allclose(scores.frame["score"][~scores.blank], expected[~scores.blank], atol=2e-5)
            found.append(scores.frame["score"])
        assert not np.allclose(*found)


def test_models_without_the_channel_ignore_the_map(images: np.ndarray) -> None:
    sample = np.zeros(images.shape[1:])
    for scorer in ("auto", "moran"):
        given, without = (imn.score_images(images, sample=each, scorer=scorer) for each in (sample, None))
        np.testing.assert_array_equal(given["score"], without["score"])


def test_a_network_of_another_size_is_refused(tmp_path: Path, images: np.ndarray) -> None:
    write_model(tmp_path / "m", preprocessing="p99-area-48")
    (tmp_path / "m" / "config.json").write_text(
        (tmp_path / "m" / "config.json").read_text().replace("p99-area-48", "p99-area-64")
    )
    with pytest.raises(imn.FileError, match=r"\(1, 48, 48\), but preprocessing 'p99-area-64' makes \(1, 64, 64\)"):
        imn.score_images(images, model=tmp_path / "m")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((3, 5)), r"sample has shape \(3, 5\), but the images have \(4, 5\)"),
        (np.zeros((4, 5), complex), "sample must hold booleans or numbers"),
        (np.full((4, 5), 1.5), "probabilities from 0 to 1, got 1.5 to 1.5"),
        (np.full((4, 5), -np.inf), "probabilities from 0 to 1"),
    ],
)
def test_maps_that_are_none_are_refused(sample: np.ndarray, message: str) -> None:
    with pytest.raises(imn.ArgumentError, match=message):
        imn.score_images(np.ones((2, 4, 5)), sample=sample)


def test_what_a_map_leaves_out_is_no_sample() -> None:
    hidden = np.ma.masked_array(np.full((2, 2), 0.25), [[True, False], [False, False]])
    given = checked_sample(hidden, (2, 2))
    assert given is not None
    assert given.dtype == np.float32
    assert given.tolist() == [[0.0, 0.25], [0.25, 0.25]]
    np.testing.assert_array_equal(given, checked_sample([[np.nan, 0.25], [0.25, 0.25]], (2, 2)))


def test_the_native_core_checks_the_shape(section: Path) -> None:
    images, sample = np.ones((1, 4, 5), np.float32), np.ones((5, 4), np.float32)
    with pytest.raises(imn.ArgumentError, match="sample must have the shape"):
        _core.preprocess(images, ID, None, sample)
    with imn.open(section) as ds, pytest.raises(imn.ArgumentError, match="sample must have the shape"):
        _core.score_windows(ds._native, np.ones(1), np.ones(1), statistic="moran", sample=sample)
