"""The model folder that ships with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet import models
from ionmorphnet.labels import CLASSES
from ionmorphnet.reference.preprocess import CHANNELS, preprocess
from ionmorphnet.simulation import simulate_ion_image
from ionmorphnet.training.metrics import auc

FOLDER = Path(models.__file__).parent / "bundled" / models.DEFAULT_MODEL


@pytest.fixture(scope="module")
def config() -> dict[str, object]:
    loaded = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def logits(images: np.ndarray) -> np.ndarray:
    core = openvino.Core()
    compiled = core.compile_model(str(FOLDER / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result: np.ndarray = compiled(images)[compiled.output("logits")]
    return result


def test_config(config: dict[str, object]) -> None:
    assert config["format"] == 1
    assert config["name"] == FOLDER.name
    assert config["architecture"] == "convnextv2_atto"
    assert config["preprocessing"] in CHANNELS
    assert config["classes"] == list(CLASSES)
    assert config["score"]["kind"] == "weighted_probabilities"
    assert list(config["score"]["weights"]) == list(CLASSES)
    assert 0.0 < config["threshold"] < 1.0
    assert config["licence"] == "Apache-2.0"
    assert config["metrics"]["onnx_against_torch_max_logit_difference"] <= 1e-4
    assert config["provenance"]["images_seen"] > 1000


def test_folder_is_small_and_self_contained() -> None:
    names = sorted(p.name for p in FOLDER.iterdir())
    assert names == ["config.json", "model.onnx"]
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) <= 16_000_000


def test_batch_is_dynamic_and_images_do_not_influence_each_other() -> None:
    images = np.random.default_rng(0).random((5, 1, 224, 224), dtype=np.float32)
    together = logits(images)
    assert together.shape == (5, 6)
    np.testing.assert_allclose(logits(images[2:3]), together[2:3], atol=1e-4)


def test_simulated_classes_are_told_apart(config: dict[str, object]) -> None:
    rng = np.random.default_rng(314159)
    simulated = [simulate_ion_image(rng) for _ in range(90)]
    labels = np.array([s.label for s in simulated])
    inputs = np.concatenate([preprocess(s.image[None], str(config["preprocessing"])) for s in simulated])
    assert (logits(inputs).argmax(axis=1) == labels).mean() > 0.55


def test_empty_images_are_unstructured() -> None:
    assert CLASSES[int(logits(np.zeros((1, 1, 224, 224), dtype=np.float32)).argmax())] == "unstructured"


def test_structure_of_a_real_section_is_ranked(shared_data: Path) -> None:
    """Nothing of this section was seen in training."""
    folder = shared_data / "ion_images"
    with np.load(folder / "bladder150.npz") as arrays:
        stack = arrays["images"].astype(np.float32)
        stack[:, ~arrays["mask"].astype(bool)] = np.nan
    labels = pd.read_csv(folder / "bladder150_labels.csv").set_index("index")
    structured = labels.loc[np.arange(len(stack)), "structure"].to_numpy() >= 1.5
    score = imn.score_images(stack, precision="f32")["score"].to_numpy()
    assert auc(structured, score) >= 0.8
