"""Models through the C interface: an engine of the caller, a model that reads the sample map."""

from __future__ import annotations

import ctypes
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import ionmorphnet as imn
from library_build import library_build

MODELS = Path(__file__).resolve().parents[2] / "python" / "ionmorphnet" / "models" / "bundled"
SHAPE = (3, 64, 64)
Floats = ctypes.POINTER(ctypes.c_float)
Score = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, Floats, Floats, Floats, ctypes.c_int64, ctypes.c_void_p)


class Engine(ctypes.Structure):
    """imn_engine."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        *((name, ctypes.c_int32) for name in ("memory", "dtype", "batch", "channels")),
        *((name, ctypes.c_int32) for name in ("n_statistics", "n_outputs", "device")),
        ("user", ctypes.c_void_p),
        ("score", Score),
        ("destroy", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("height", "width", "parallel")),
        ("reserved", ctypes.c_uint32),
        ("name", ctypes.c_char * 32),
        ("precision", ctypes.c_char * 16),
    )


class ScorerOptions(ctypes.Structure):
    """imn_scorer_options."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
        *((name, ctypes.c_char_p) for name in ("engine", "model", "precision", "engine_library")),
        ("custom", ctypes.POINTER(Engine)),
        ("no_cascade", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    )


def outputs_of(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Six logits of an image (n, 3, 64, 64): signal on the sample, signal off it, and four that do not vary."""
    image, sample = images[:, 0].astype(np.float64), images[:, 2].astype(np.float64)
    out = np.zeros((len(images), 6), np.float32)
    out[:, 0] = (image * sample).mean(axis=(1, 2)) * 4.0
    out[:, 5] = (image * (1.0 - sample)).mean(axis=(1, 2)) * 4.0
    return out


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "reads-sample"
    shutil.copytree(MODELS / imn.bundled_models()[0], folder)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    for key in ("cascade", "statistics", "input"):
        config.pop(key, None)
    config |= {"name": "reads-sample", "preprocessing": "p99-stretch-64-mask-sample", "outputs": ["logits"]}
    config["score"] = {"kind": "weighted_probabilities", "weights": {"structured": 1.0, "weak_structured": 0.5}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("parallel", [0, 2])
@pytest.mark.parametrize("n_channels", [40, 500])
def test_a_model_that_reads_the_sample_map(model: Path, tmp_path: Path, parallel: int, n_channels: int) -> None:
    section = tmp_path / "section.imzML"
    imn.simulate(section, shape=(28, 36), n_channels=n_channels, seed=5)
    native = ctypes.CDLL(str(library_build() / "libionmorphnet.so"))

    def check(status: int) -> None:
        message = ctypes.create_string_buffer(1000)
        native.imn_message(message, ctypes.c_uint64(len(message)))
        assert status == 0, message.value

    def score(user: Any, images: Any, statistics: Any, outputs: Any, n: int, stream: Any) -> int:
        given = np.ctypeslib.as_array(images, (n, *SHAPE))
        np.ctypeslib.as_array(outputs, (n, 6))[:] = outputs_of(given)
        return 0

    engine = Engine(ctypes.sizeof(Engine), batch=16, channels=SHAPE[0], n_outputs=6, score=Score(score))
    engine.height, engine.width, engine.parallel, engine.name = SHAPE[1], SHAPE[2], parallel, b"mine"
    options = ScorerOptions(ctypes.sizeof(ScorerOptions), model=str(model).encode(), custom=ctypes.pointer(engine))
    context, dataset, scorer, peaks = (ctypes.c_void_p() for _ in range(4))
    check(native.imn_context_new(None, ctypes.byref(context)))
    check(native.imn_dataset_open(context, str(section).encode(), None, ctypes.byref(dataset)))
    check(native.imn_scorer_new(context, ctypes.byref(options), ctypes.byref(scorer)))
    check(native.imn_pick(dataset, scorer, None, None, ctypes.byref(peaks)))
    n = ctypes.c_int64()
    check(native.imn_peaks_count(peaks, ctypes.byref(n), None))
    columns = []
    for column in (0, 3):
        values = (ctypes.c_double * n.value)()
        check(native.imn_peaks_column(peaks, column, values, n))
        columns.append(np.array(values))
    length = ctypes.c_uint64()
    check(native.imn_peaks_json(peaks, None, ctypes.c_uint64(0), ctypes.byref(length)))
    text = ctypes.create_string_buffer(length.value)
    check(native.imn_peaks_json(peaks, text, length, None))

    expected = imn.pick(section, scorer=outputs_of, model=model)
    np.testing.assert_array_equal(columns[0], expected.all_scores["mz"])
    np.testing.assert_array_equal(columns[1], expected.all_scores["score"])
    record = json.loads(text.value)
    assert record["sample"] == json.loads(json.dumps(expected.run.to_dict()["sample"]))
    assert record["sample"]["used"]
    assert record["model"] == json.loads(json.dumps(expected.run.to_dict()["model"]))
    assert record["scorer"] == "mine"
    for kind, handle in (("peaks", peaks), ("scorer", scorer), ("dataset", dataset), ("context", context)):
        getattr(native, f"imn_{kind}_free")(handle)
