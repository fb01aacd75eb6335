"""The 8-bit variant of a network: choosing it, running it, and making it where nncf is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")

import openvino

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError, UnavailableError
from ionmorphnet.models.model import INT8_FILE
from ionmorphnet.scoring import host
from model_factory import write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose 8-bit variant is another network, so that it shows which of them ran."""
    write_model(tmp_path / "other", structure=True)
    other = openvino.Core().read_model(str(tmp_path / "other" / "model.onnx"))
    write_model(tmp_path / "m", structure=True, int8={"same_class": 1.0})
    bias = openvino.opset8.constant(np.full(7, 0.5, np.float32))
    result = other.get_results()[0]
    shifted = openvino.opset8.add(result.input_value(0), bias)
    result.input(0).replace_source_output(shifted.output(0))
    openvino.save_model(other, str(tmp_path / "m" / INT8_FILE), compress_to_fp16=False)
    return tmp_path / "m"


def outputs(folder: Path, precision: Any) -> tuple[str, np.ndarray]:
    scorer = imn.make_scorer(model=folder, precision=precision, device="cpu")
    images = np.linspace(0, 1, 2 * 224 * 224, dtype=np.float32).reshape(2, 1, 224, 224)
    return scorer.precision, scorer.network.score(images)


def test_the_variant_runs(folder: Path) -> None:
    precision, eight = outputs(folder, "int8")
    assert precision == "int8"
    precision, full = outputs(folder, "f32")
    assert precision == "f32"
    np.testing.assert_allclose(eight - full, 0.5, atol=0.05)  # the rest may run in bf16


@pytest.mark.parametrize(
    ("bf16", "vnni", "expected"), [(False, True, "int8"), (True, True, "other"), (False, False, "other")]
)
def test_auto(folder: Path, monkeypatch: pytest.MonkeyPatch, bf16: bool, vnni: bool, expected: str) -> None:
    monkeypatch.setattr(host._core, "cpu_has_bf16", lambda: bf16)
    monkeypatch.setattr(host, "cpu_has_vnni", lambda: vnni)
    precision, _ = outputs(folder, "auto")
    assert (precision == "int8") == (expected == "int8")


def test_requests_that_cannot_be_met(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="has no 8-bit network; make one with"):
        imn.make_scorer(model=tmp_path / "other", precision="int8")
    with pytest.raises(ArgumentError, match="'int8' is for scorer 'openvino' on the CPU"):
        imn.make_scorer(model=folder, precision="int8", scorer="torch")
    with pytest.raises(ArgumentError, match="'int8' is for scorer 'openvino' on the CPU"):
        imn.make_scorer(model=folder, precision="int8", device="cuda")
    (folder / INT8_FILE).write_text("<net")
    with pytest.raises(FileError, match="cannot be read as a quantised model"):
        imn.make_scorer(model=folder, precision="int8")
    (folder / INT8_FILE).unlink()
    with pytest.raises(FileError, match=r"names an 8-bit network, but model\.int8\.xml or its \.bin file is missing"):
        imn.load_model(folder)


def test_without_nncf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)  # absent, whether it is installed or not
    pytest.importorskip("torch", reason="training needs the extra [train]")
    from ionmorphnet.training.quantise import quantise_model

    write_model(tmp_path / "m")
    with pytest.raises(UnavailableError, match=r"quantisation needs nncf: pip install 'ionmorphnet\[int8\]'"):
        quantise_model(tmp_path / "m")


@pytest.mark.long
def test_quantising(tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    pytest.importorskip("nncf", reason="quantisation needs the extra [int8], which no other test does")
    from ionmorphnet.training import quantise as module

    monkeypatch.setattr(module.quantise_model, "__kwdefaults__", {"images": 8})
    out = tmp_path / "m"
    done = cli("export", "--from-model", imn.DEFAULT_MODEL, "-o", out, "--int8")
    assert done.code == 0, done
    assert "int8: same class for" in done.stdout
    figures = json.loads((out / "config.json").read_text())["int8"]
    assert figures["images"] == 8
    assert figures["spearman_of_score"] > 0.9
    kinds = {op.get_type_name() for op in openvino.Core().read_model(str(out / INT8_FILE)).get_ops()}
    assert "FakeQuantize" in kinds
    precision, eight = _scores(out, "int8")
    assert precision == "int8"
    _, full = _scores(out, "f32")
    assert 0 < np.abs(eight - full).max() < 0.5


def _scores(folder: Path, precision: Any) -> tuple[str, np.ndarray]:
    scorer = imn.make_scorer(model=folder, precision=precision, device="cpu")
    images = np.random.default_rng(1).random((3, 40, 40), dtype=np.float32)
    return scorer.precision, imn.score_images(images, scorer=scorer, cascade=False)["score"].to_numpy()
