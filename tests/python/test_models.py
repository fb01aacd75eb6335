from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import _core
from ionmorphnet.models.labels import PROBABILITY_COLUMNS, STATISTICS
from ionmorphnet.models.model import DEFAULT_MODEL, load_model
from ionmorphnet.models.preprocessing import Preprocessing

pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
from model_factory import write_model, write_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model without structure output and statistics; cases set the format if it matters."""
    write_model(tmp_path / "model")
    return tmp_path / "model"


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


def test_a_folder_loads_like_the_bundled_name(tmp_path: Path) -> None:
    folder = shutil.copytree(load_model().folder, tmp_path / "copy")
    assert load_model(folder).sha256 == load_model(DEFAULT_MODEL).sha256


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"preprocessing": "letterbox-224"}, "preprocessing id"),
        ({"input": {"channels": 2, "size": 224}}, "'input' must have 1 channels and size 224"),
        ({"input": {"channels": 1, "size": 112}}, "'input' must have 1 channels and size 224"),
        ({"input": 224}, "'input' must have 1 channels and size 224"),
        ({"classes": ["a", "b"]}, "classes must be"),
        ({"format": 99}, "newer than this version"),
        ({"score": {"kind": "magic"}}, "score kind"),
        ({"score": {"kind": "sum_of_probabilities", "classes": ["sharp"]}}, "score must name"),
        ({"score": {"kind": "weighted_probabilities", "weights": {"structured": 2}}}, "weights from 0 to 1"),
        ({"score": {"kind": "sum_of_probabilities"}}, "score must name"),
        ({"score": {"kind": "sum_of_probabilities", "classes": 3}}, "score must name"),
        ({"score": {"kind": "sum_of_probabilities", "classes": [["structured"]]}}, "score must name"),
        ({"score": {"kind": "weighted_probabilities", "weights": ["structured"]}}, "score must name"),
        ({"threshold": None}, "'threshold' is missing"),
        ({"threshold": float("nan")}, "not valid JSON"),
        ({"architecture": 3}, "'architecture' is missing or has the wrong type"),
        ({"score": {"kind": "structure"}}, "score kind 'structure' needs the output 'structure', got logits"),
        ({"format": 2, "outputs": ["structure", "logits"]}, "outputs must be logits, or logits and structure"),
        ({"format": 2, "outputs": []}, "outputs must be .* got none"),
        ({"format": 2, "outputs": "logits"}, r'outputs must be .* got "logits"'),
        ({"outputs": ["logits", "structure"], "format": 1}, "the output 'structure' needs format 2"),
        ({"statistics": ["moran"], "format": 1}, "statistics need format 2"),
        ({"format": 2, "statistics": ["moran", "geary"]}, "unknown statistic 'geary' .known: moran, blur, chaos, cov"),
        ({"format": 2, "statistics": ["moran", "moran"]}, "statistics are repeated"),
        ({"format": 2, "statistics": "moran"}, "must be a list"),
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


def test_format_1_has_neither_structure_nor_statistics(folder: Path) -> None:
    change(folder, format=1, outputs=None)
    model = load_model(folder)
    assert (model.outputs, model.statistics, model.has_structure, model.n_outputs) == (("logits",), (), False, 6)
    assert "structure" not in imn.score_images(np.eye(9), model=model, scorer=lambda x: np.zeros((len(x), 6), "f4"))
    with pytest.raises(imn.ArgumentError, match="no structure output"):
        model.structure(np.zeros((1, 7), np.float32))


def test_the_structure_output_is_the_score(tmp_path: Path) -> None:
    write_model(tmp_path / "m", structure=True, statistics=STATISTICS, preprocessing="p99-stretch-224-mask")
    model = load_model(tmp_path / "m")
    assert model.has_structure
    assert model.statistics == STATISTICS
    assert model.n_outputs == 7
    assert model.score_description == "calibrated structure estimate (0 to 1)"
    outputs = np.zeros((4, 7), np.float32)
    outputs[:, 6] = [-1000, 0, np.log(3), 1000]
    structure = model.structure(outputs)
    np.testing.assert_allclose(structure, [0, 1.5, 2.25, 3])
    np.testing.assert_allclose(model.score(model.probabilities(outputs), structure), [0, 0.5, 0.75, 1])
    with pytest.raises(imn.ArgumentError, match="ranks by its structure output"):
        model.score(model.probabilities(outputs))


def test_a_structure_output_need_not_be_the_score(tmp_path: Path, rng: np.random.Generator) -> None:
    weights = {"kind": "weighted_probabilities", "weights": {"structured": 1.0}}
    write_model(tmp_path / "m", structure=True, score=weights)
    frame = imn.score_images(rng.random((3, 9, 9)), model=tmp_path / "m")
    np.testing.assert_array_equal(frame["score"], frame["p_structured"])
    assert list(frame.columns) == ["score", "label", *PROBABILITY_COLUMNS, "structure"]
    assert frame["structure"].between(0, 3).all()


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            {"n_outputs": 7, "n_statistics": 4},
            r"takes images of .* \(1, 224, 224\), but preprocessing .* makes \(2, 224, 224\)",
        ),
        ({"n_outputs": 7, "n_statistics": 4, "channels": 2, "size": 112}, r"takes images of .* \(2, 112, 112\)"),
        (
            {"n_outputs": 7, "channels": 2},
            "takes no statistics with each image, but config.json names moran, blur, chaos",
        ),
        ({"n_outputs": 7, "n_statistics": 3, "channels": 2}, "takes 3 statistics"),
        ({"n_outputs": 6, "n_statistics": 4, "channels": 2}, "returns 6 values .* .logits, structure. says 7"),
    ],
)
def test_a_network_that_is_not_what_the_config_says(tmp_path: Path, network: dict[str, Any], text: str) -> None:
    folder = tmp_path / "m"
    write_model(folder, structure=True, statistics=STATISTICS[:4], preprocessing="p99-stretch-224-mask")
    assert imn.make_scorer(model=folder).network.info["n_statistics"] == 4
    write_network(folder / "model.onnx", **network)
    with pytest.raises(imn.FileError, match=text) as caught:
        imn.make_scorer(model=folder)
    assert str(caught.value).startswith(str(folder / "model.onnx"))


def test_statistics_without_a_name_in_the_config(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    write_network(tmp_path / "m" / "model.onnx", n_statistics=4)
    with pytest.raises(imn.FileError, match=r"takes 4 statistics with each image, but config\.json names none"):
        imn.make_scorer(model=tmp_path / "m")


@pytest.mark.parametrize("text", ["p99-stretch-224", "p99-area-112-mask-sample", "p99-stretch-32-mask-sqrt-sample"])
def test_preprocessing_ids_round_trip(text: str) -> None:
    parsed = Preprocessing.parse(text)
    assert str(parsed) == text
    assert parsed.shape == (_core.preprocess_channels(text), *[_core.preprocess_size(text)] * 2)


@pytest.mark.parametrize(
    "text",
    ["", "p99-224", "p98-stretch-224", "p99-stretch-", "p99-stretch-100", "p99-stretch-16", "p99-area-400",
     "p99-area-064", "p99-area--64", "p99-area-112-sample-mask", "p99-area-112-mask-mask", "p99-area-112-",
     "p99-area-112 ", "area-112", "p99-area-99999999999999999999", "p99-stretch-area-112"],
)  # fmt: skip
def test_other_preprocessing_ids_are_refused_alike(text: str) -> None:
    messages = []
    for parse in (Preprocessing.parse, _core.preprocess_channels, _core.preprocess_size):
        with pytest.raises(imn.ArgumentError, match="it must be p99-") as error:
            parse(text)
        messages.append(str(error.value).replace('"', "'"))
    assert len(set(messages)) == 1
