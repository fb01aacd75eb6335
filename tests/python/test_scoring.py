from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet import reference
from ionmorphnet.models.labels import PROBABILITY_COLUMNS, STATISTICS
from ionmorphnet.scoring import choose, gpu_networks, kept
from ionmorphnet.scoring.classical import CLASSICAL_SCORERS

COLUMNS = ["score", "label", *PROBABILITY_COLUMNS]


def test_columns_and_rows(images: np.ndarray) -> None:
    frame = imn.score_images(images)
    assert list(frame.columns) == [*COLUMNS, "structure", "spared"]
    assert len(frame) == len(images)
    assert np.allclose(frame[list(PROBABILITY_COLUMNS)].sum(axis=1), 1)
    assert set(frame["label"]) <= set(imn.CLASSES)
    best = frame[list(PROBABILITY_COLUMNS)].to_numpy().argmax(axis=1)
    assert list(frame["label"]) == [imn.CLASSES[i] for i in best]


def test_structure_outranks_noise(images: np.ndarray) -> None:
    for scorer in ("auto", "moran"):
        score = imn.score_images(images, scorer=scorer)["score"]
        assert score[0] > score[1], scorer


BLANK = {"zero": 0.0, "constant": 5.0, "negative": -1.0, "not measured": np.nan, "infinite": np.inf}


@pytest.mark.parametrize("scorer", ["auto", "moran"])
@pytest.mark.parametrize("value", BLANK.values(), ids=BLANK)
def test_blank_images_are_unstructured_for_certain(images: np.ndarray, value: float, scorer: str) -> None:
    many = np.concatenate([images[:2], np.full((3, *images.shape[1:]), value), images[:1]])
    frame = imn.score_images(many, scorer=scorer, precision="f32" if scorer == "auto" else "auto")
    assert (frame["score"][2:5] == 0).all()
    assert (frame["score"][[0, 5]] > 0).all()
    assert frame["score"][0] == pytest.approx(frame["score"][5], abs=1e-5)
    if scorer == "auto":
        assert list(frame["label"][2:5]) == ["unstructured"] * 3
        assert (frame["p_unstructured"][2:5] == 1).all()
        np.testing.assert_array_equal(frame[list(PROBABILITY_COLUMNS)][2:5].sum(axis=1), 1)
    only = imn.score_images(many[2:5], scorer=scorer)
    assert (only["score"] == 0).all()


def test_blank_images_have_no_structure_whatever_the_network_says(tmp_path: Path, images: np.ndarray) -> None:
    """Outputs of 0 would be a structure of 1.5 and equal probabilities."""
    pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
    from model_factory import write_model

    weights = {"kind": "weighted_probabilities", "weights": {"unstructured": 1.0, "structured": 0.5}}
    for name, score in (("structure", {"kind": "structure"}), ("weights", weights)):
        write_model(tmp_path / name, structure=True, statistics=STATISTICS, score=score)
        frame = imn.score_images(images, model=tmp_path / name)
        assert list(frame.columns) == [*COLUMNS, "structure"]
        assert (frame["structure"][:2] > 0).all()
        assert (frame["score"][:2] > 0).all()
        assert (frame[["score", "structure"]][2:] == 0).all(axis=None)
        assert (frame["p_unstructured"][2:] == 1).all()
        if name == "structure":
            np.testing.assert_allclose(frame["score"], frame["structure"] / 3)


def test_a_callback_of_a_model_with_statistics_gets_them(tmp_path: Path, images: np.ndarray) -> None:
    pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
    from model_factory import write_model

    names = ("coverage", "moran")
    network = write_model(tmp_path / "m", structure=True, statistics=names, preprocessing="p99-stretch-224-mask")
    frame = imn.score_images(images, model=tmp_path / "m", scorer=network)
    pd.testing.assert_frame_equal(frame, imn.score_images(images, model=tmp_path / "m", precision="f32"), atol=1e-4)
    with pytest.raises(imn.ArgumentError, match=r"shape \(2, 7\), but returned \(2, 6\)"):
        imn.score_images(images, model=tmp_path / "m", scorer=lambda x, s: np.zeros((len(x), 6), np.float32))


def test_a_single_image_and_no_image(images: np.ndarray) -> None:
    one = imn.score_images(images[0], precision="f32")
    assert np.allclose(one["score"], imn.score_images(images, precision="f32")["score"][:1], atol=1e-5)
    assert len(imn.score_images(np.zeros((0, 4, 4)))) == 0


def test_integer_and_strided_images_are_taken(images: np.ndarray) -> None:
    integers = np.round(images * 10).astype(np.uint16)
    a = imn.score_images(integers, precision="f32")["score"]
    b = imn.score_images(np.asfortranarray(integers.astype(np.float64)), precision="f32")["score"]
    assert np.array_equal(a, b)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A model of published layout: one channel in, six logits out."""
    pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
    from model_factory import write_model

    write_model(tmp_path / "published", format=1, outputs=None)
    return tmp_path / "published"


def test_the_callback_scorer_sees_preprocessed_images(images: np.ndarray, published: Path) -> None:
    seen = []

    def network(batch: np.ndarray) -> np.ndarray:
        seen.append(batch.copy())
        logits = np.zeros((len(batch), 6), np.float32)
        logits[:, 0] = batch.mean(axis=(1, 2, 3))
        return logits

    many = np.tile(images, (20, 1, 1))
    frame = imn.score_images(many, model=published, scorer=network)
    inputs = np.concatenate(seen)
    assert inputs.shape == (2 * 20, 1, 224, 224)  # the two blank ones of each four are left out
    expected = reference.preprocess.preprocess(images[:2].astype(np.float32), "p99-stretch-224")
    assert np.abs(inputs[:2] - expected).max() < 1e-6
    assert len(frame) == len(many)
    assert np.allclose(frame["p_structured"][:4], frame["p_structured"][-4:])


def test_an_exception_of_the_callback_passes_through(images: np.ndarray) -> None:
    def broken(*inputs: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of patience")

    with pytest.raises(RuntimeError, match="out of patience"):
        imn.score_images(images, scorer=broken)


def test_moran_equals_the_specification_and_leaves_labels_empty(images: np.ndarray) -> None:
    mask = np.ones(images.shape[1:], bool)
    mask[:, :7] = False
    frame = imn.score_images(images, mask, scorer="moran")
    expected = reference.statistics.morans_i(images.astype(np.float32), mask)
    assert np.allclose(frame["score"], expected, atol=1e-5)
    assert frame["label"].isna().all()
    assert frame[list(PROBABILITY_COLUMNS)].isna().all(axis=None)


def test_nan_is_not_measured(images: np.ndarray) -> None:
    mask = np.ones(images.shape[1:], bool)
    mask[5:9] = False
    with_nan = np.where(mask, images, np.nan)
    assert np.allclose(
        imn.score_images(with_nan, scorer="moran")["score"], imn.score_images(images, mask, scorer="moran")["score"]
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"images": np.zeros(5)}, "shape"),
        ({"images": np.zeros((2, 0, 5))}, "shape"),
        ({"images": np.zeros((1, 4, 4), complex)}, "real numbers"),
        ({"images": np.ma.masked_less(np.ones((1, 4, 4)), 2) * 1j}, "real numbers"),
        ({"images": np.ma.masked_equal([[["a", "b"]]], "a")}, "real numbers"),
        ({"images": np.zeros((0, 2**32 + 5, 4))}, r"fewer than 2\^31 pixels per side"),
        ({"images": np.zeros((0, 4, 2**31))}, r"fewer than 2\^31 pixels per side"),
        ({"images": np.zeros((1, 4, 4)), "mask": np.ones((4, 5))}, "mask has shape"),
        ({"images": np.zeros((1, 4, 4)), "scorer": "magic"}, "unknown scorer"),
        ({"images": np.zeros((1, 4, 4)), "precision": "f64"}, "precision"),
        ({"images": np.zeros((1, 4, 4)), "device": "tpu"}, "unknown device"),
        ({"images": np.zeros((1, 4, 4)), "scorer": "moran", "model": "x"}, "uses no model"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments: dict, text: str) -> None:
    with pytest.raises(imn.ArgumentError, match=text):
        imn.score_images(**arguments)


@pytest.mark.parametrize("arguments", [{"device": "cuda:97"}, {"scorer": "tensorrt"}])
def test_what_is_not_there_yet_says_so(arguments: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(imn.UnavailableError):
        imn.score_images(np.zeros((1, 4, 4)), **arguments)


def test_progress_reaches_the_total(images: np.ndarray) -> None:
    calls: list[tuple[int, int]] = []
    imn.score_images(images, scorer="moran", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (len(images), len(images))


def test_an_exception_of_progress_stops_the_work(images: np.ndarray) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imn.score_images(np.tile(images, (30, 1, 1)), progress=stop)
    assert len(imn.score_images(images)) == len(images)


def test_a_masked_array_hides_what_was_not_measured(images: np.ndarray) -> None:
    mask = np.ones(images.shape[1:], bool)
    mask[:, :9] = False
    hidden = np.ma.masked_array(images, mask=np.broadcast_to(~mask, images.shape))
    expected = imn.score_images(images, mask, scorer="moran")["score"]
    assert np.array_equal(imn.score_images(hidden, scorer="moran")["score"], expected)
    with_nan = np.where(mask, 1.0, np.nan)
    assert np.array_equal(imn.score_images(images, with_nan, scorer="moran")["score"], expected)
    with pytest.raises(imn.ArgumentError, match="mask must hold"):
        imn.score_images(images, np.full(images.shape[1:], "x"), scorer="moran")


def test_outputs_that_are_not_finite_are_refused(images: np.ndarray, published: Path) -> None:
    def broken(batch: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(batch), 6), np.float32)
        logits[1] = np.nan
        return logits

    with pytest.raises(imn.IonMorphNetError, match="image 3 are not finite"):
        imn.score_images(images[[2, 0, 3, 1]], model=published, scorer=broken)


def test_a_scorer_serves_many_calls_and_brings_its_own_settings(images: np.ndarray) -> None:
    scorer = imn.make_scorer(precision="f32")
    first = imn.score_images(images, scorer=scorer)
    assert np.array_equal(first["score"], imn.score_images(images, scorer=scorer)["score"])
    for more in ({"precision": "f32"}, {"device": "cpu"}, {"model": scorer.model}):
        with pytest.raises(imn.ArgumentError, match="leave them out"):
            imn.score_images(images, scorer=scorer, **more)
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(scorer)
    assert pickle.loads(pickle.dumps(imn.make_scorer(scorer="moran"))).name == "moran"


# {before}: before the fork; {tries}: calls of which each must be refused in the child, where the others work.
FORK = """
import os, numpy as np, ionmorphnet as imn
from ionmorphnet import _core
from ionmorphnet.base import devices
images = np.random.default_rng(0).random((2, 9, 9))
{before}
if os.fork() == 0:
    for given in {tries}:
        try:
            imn.score_images(images, **given)
        except imn.UnavailableError as error:
            assert "{told}" in str(error), error
        else:
            os._exit(1)
    imn.score_images(images, scorer="moran")
    {after}
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize(
    "script",
    [
        FORK.format(
            before="used = imn.make_scorer()\nimn.score_images(images, scorer=used)",
            tries='({"scorer": used}, {})',
            told="'spawn' or 'forkserver'",
            after="pass",
        ),
        # A GPU that was found is not lost in silence.
        FORK.format(
            before='real, _core.choose_device = _core.choose_device, lambda name: "cuda:0"\n'
            'assert str(devices.resolve_device("auto")) == "cuda:0"\n'
            "_core.choose_device = real",
            tries='({}, {"device": "cuda"}, {"device": "cuda:0"})',
            told="CUDA was started before this process was forked",
            after='imn.score_images(images, device="cpu")',
        ),
    ],
    ids=["network", "gpu"],
)
def test_a_network_after_a_fork_is_an_error_instead_of_a_hang(script: str) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60, check=False)
    assert done.returncode == 0


def test_a_fork_destroys_no_kept_network() -> None:
    """Destroying one in the child, without the parent's threads, can wait forever."""
    script = """
import os
from ionmorphnet.scoring import kept

class Network:
    def __del__(self):
        os._exit(3)

kept._idle["model"] = Network()
if os.fork() == 0:
    os._exit(len(kept._idle))
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts the networks that are compiled from here on."""
    seen: list[str] = []
    start = choose.start_openvino

    def counted(model: imn.Model, **options: Any) -> Any:
        seen.append(model.name)
        return start(model, **options)

    imn.clear_scorers()
    monkeypatch.setattr(choose, "start_openvino", counted)
    return seen


def test_repeated_calls_compile_once(images: np.ndarray, monkeypatch: pytest.MonkeyPatch, section: Path) -> None:
    seen = compiled(monkeypatch)
    first = imn.score_images(images, precision="f32", device="cpu")
    for _ in range(3):
        pd.testing.assert_frame_equal(imn.score_images(images, precision="f32", device="cpu"), first)
    imn.pick(section, top=1, precision="f32", device="cpu")
    assert len(seen) == 1
    imn.score_images(images, precision="f32", device="cpu", threads=1)  # other settings, another network
    assert len(seen) == 2
    imn.clear_scorers()
    imn.score_images(images, precision="f32", device="cpu")
    assert len(seen) == 3
    assert len(kept._idle) == 1


def test_kept_scorers_are_bounded_and_follow_their_files(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
    from model_factory import write_model

    seen = compiled(monkeypatch)
    for name in ("a", "b", "c"):
        write_model(tmp_path / name, format=1, outputs=None)
        imn.score_images(images, model=tmp_path / name, device="cpu")
    assert len(kept._idle) == kept.MOST_KEPT == 2
    imn.score_images(images, model=tmp_path / "a", device="cpu")  # the oldest has gone
    assert len(seen) == 4
    weights = {"kind": "weighted_probabilities", "weights": {"structured": 0.25}}
    before = imn.score_images(images, model=tmp_path / "a", device="cpu")
    assert len(seen) == 4
    write_model(tmp_path / "a", format=1, outputs=None, score=weights)  # a changed folder is another model
    assert not np.allclose(imn.score_images(images, model=tmp_path / "a", device="cpu")["score"], before["score"])
    assert len(seen) == 5
    imn.clear_scorers()


def test_threads_do_not_share_a_kept_scorer(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = compiled(monkeypatch)
    expected = imn.score_images(images, precision="f32", device="cpu")
    results: list[pd.DataFrame] = []

    def nested(done: int, total: int) -> None:
        if not results:  # while the scorer is in use
            results.append(imn.score_images(images, precision="f32", device="cpu"))

    results_of_outer = imn.score_images(images, precision="f32", device="cpu", progress=nested)
    assert len(seen) == 2
    pd.testing.assert_frame_equal(results_of_outer, expected)
    pd.testing.assert_frame_equal(results[0], expected)
    imn.clear_scorers()


def test_a_callable_of_the_wrong_kind_says_so(images: np.ndarray) -> None:
    with pytest.raises(imn.ArgumentError, match=r"must accept \(images, statistics\) and return logits \(n, 7\)"):
        imn.score_images(images, scorer=lambda only: only)


class Brightest(imn.ImageScorer):
    name = "brightest"
    description = "largest intensity of the image"
    raw = True

    def score(self, images: np.ndarray) -> np.ndarray:
        return np.nanmax(images, axis=(1, 2))


def test_a_scorer_of_ones_own(images: np.ndarray, section: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = imn.score_images(images, scorer=Brightest())
    assert list(frame.columns) == COLUMNS
    np.testing.assert_allclose(frame["score"][:2], images[:2].max(axis=(1, 2)), rtol=1e-6)
    assert list(frame["score"][2:]) == [0, 0]  # blank
    mask = images[0] < images[0].max()
    assert imn.score_images(images, mask, scorer=Brightest())["score"][0] == np.float32(images[0][mask].max())
    calls: list[tuple[int, int]] = []
    peaks = imn.pick(section, scorer=Brightest(), top=4, progress=lambda done, total: calls.append((done, total)))
    np.testing.assert_allclose(peaks.to_frame()["score"], np.nanmax(peaks.ion_images(), axis=(1, 2)))
    assert calls[-1] == (len(peaks.all_scores),) * 2
    small = imn.pick(section, scorer=Brightest(), top=4, memory_limit=8 * 4 * 40 * 50 * 3)  # three images at a time
    pd.testing.assert_frame_equal(small.all_scores, peaks.all_scores)
    assert peaks.run is not None
    assert (peaks.run.score, peaks.run.model) == ("largest intensity of the image", None)
    with pytest.raises(imn.ArgumentError, match="'brightest' has no default threshold"):
        imn.pick(section, scorer=Brightest())
    monkeypatch.setattr(Brightest, "score", lambda self, images: np.nanmax(images))
    with pytest.raises(imn.ArgumentError, match=r"score\(\) must return shape \(2,\), not \(\)"):
        imn.score_images(images, scorer=Brightest())
    monkeypatch.setattr(Brightest, "score", lambda self, images: np.full(len(images), np.nan))
    with pytest.raises(imn.IonMorphNetError, match="score of image 0 is not finite"):
        imn.score_images(images, scorer=Brightest())


def test_an_image_scorer_sees_what_classical_scores_see(images: np.ndarray) -> None:
    """Clipped images, and blank ones as the native loops find them."""
    seen: list[np.ndarray] = []

    class Recorder(imn.ImageScorer):
        name = "recorder"
        description = "mean of the clipped image"

        def score(self, images: np.ndarray) -> np.ndarray:
            seen.append(images)
            return np.nanmean(images, axis=(1, 2))

    hot = np.ones(images.shape[1:])
    hot[3, 4] = 1e9  # constant once clipped
    hole = np.where(np.arange(images.shape[2]) < 5, np.nan, images[0])
    stack = np.stack([hole, hot, images[1], np.full_like(hot, np.nan), images[1] - 1e6])
    frame = imn.score_images(stack, scorer=Recorder())
    moran = imn.make_scorer(scorer="moran").score_stack(stack.astype(np.float32))
    np.testing.assert_array_equal(Recorder().score_stack(stack.astype(np.float32)).blank, moran.blank)
    assert list(moran.blank) == [False, True, False, True, True]
    assert list(frame["score"] > 0) == [True, False, True, False, False]
    shown = seen[0]
    assert shown.shape == (2, *hot.shape)
    np.testing.assert_array_equal(np.isnan(shown[0]), np.isnan(hole))
    assert np.nanmin(shown) >= 0
    assert np.nanmax(shown) == 1
    low = np.float32(hole) / np.float32(np.nanquantile(hole, 0.99))
    np.testing.assert_allclose(shown[0], np.clip(low, 0, 1), rtol=1e-5)


def test_names_of_scorers_agree() -> None:
    assert set(choose.SCORER_NAMES) == {"auto", "openvino", *gpu_networks.GPU_ENGINES, *CLASSICAL_SCORERS}
    for name in CLASSICAL_SCORERS:
        assert imn.make_scorer(scorer=name).name == name
