from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.models import DEFAULT_MODEL, load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(load_model().folder, tmp_path / "model"))


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.update(values)
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_default_model_is_bundled_and_small() -> None:
    model = load_model()
    assert model.name == DEFAULT_MODEL
    assert DEFAULT_MODEL in imn.bundled_models()
    assert sum(path.stat().st_size for path in model.folder.rglob("*") if path.is_file()) <= 16 * 2**20
    assert model.classes == imn.CLASSES
    assert 0 < model.threshold < 3


def test_a_folder_loads_like_the_bundled_name(folder: Path) -> None:
    assert load_model(folder).sha256 == load_model(DEFAULT_MODEL).sha256


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"preprocessing": "letterbox-224"}, "preprocessing id"),
        ({"classes": ["a", "b"]}, "classes must be"),
        ({"format": 99}, "newer than this version"),
        ({"score": {"kind": "magic"}}, "score kind"),
        ({"score": {"kind": "sum_of_probabilities", "classes": ["sharp"]}}, "score must name"),
        ({"score": {"kind": "weighted_probabilities", "weights": {"structured": 2}}}, "weights from 0 to 1"),
        ({"threshold": None}, "'threshold' is missing"),
        ({"architecture": 3}, "'architecture' is missing or of the wrong type"),
    ],
)
def test_what_cannot_be_run_is_refused(folder: Path, values: dict[str, Any], text: str) -> None:
    change(folder, **values)
    with pytest.raises(imn.FileError, match=text) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)


def test_missing_pieces_are_named(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(imn.FileError, match=r"no model\.onnx"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(imn.FileError, match="not valid JSON"):
        load_model(folder)
    with pytest.raises(imn.FileError, match="neither a folder nor a bundled model"):
        load_model("no-such-model")
    with pytest.raises(imn.FileError, match="no such model folder"):
        load_model(folder / "absent")


def test_a_corrupt_network_is_an_error_that_names_it(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"not a network")
    with pytest.raises(imn.FileError, match=r"model\.onnx"):
        imn.score_images(np.zeros((1, 5, 5)), model=folder)


def test_probabilities_and_score(folder: Path) -> None:
    informative = ["structured", "localized", "negative"]
    change(folder, score={"kind": "sum_of_probabilities", "classes": informative})
    model = load_model(folder)
    assert model.score_description == "informative score = P(structured) + P(localized) + P(negative)"
    logits = np.array([[0, 0, 0, 0, 0, 0], [1000, 0, 0, 0, 0, 0], [0, 0, 0, 0, 700, -700]], np.float32)
    p = model.probabilities(logits)
    assert np.allclose(p.sum(axis=1), 1)
    assert np.allclose(p[0], 1 / 6)
    assert np.allclose(model.score(p), p[:, [imn.CLASSES.index(name) for name in informative]].sum(axis=1))
    assert np.allclose(model.score(p), [0.5, 1.0, 0.0])
    change(folder, score={"kind": "weighted_probabilities", "weights": {"structured": 1, "fragmented": 0.25}})
    weighted = load_model(folder)
    assert weighted.score_description == "expected structure = 1 P(structured) + 0.25 P(fragmented)"
    assert np.allclose(weighted.score(p), p[:, 0] + p[:, 3] / 4)
