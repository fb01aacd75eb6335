"""The model folder that ships with the package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.evaluate.metrics import auc
from ionmorphnet.models import model as models
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation import simulate_ion_image

FOLDER = Path(models.__file__).parent / "bundled" / models.DEFAULT_MODEL


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_config(config: dict[str, Any]) -> None:
    assert config["name"] == FOLDER.name
    assert config["architecture"] == "convnextv2_atto"
    assert config["classes"] == list(CLASSES)
    if config["score"]["kind"] == "weighted_probabilities":
        assert list(config["score"]["weights"]) == list(CLASSES)
    assert 0.0 < config["threshold"] < 1.0
    assert config["licence"] == "Apache-2.0"
    assert config["metrics"]["onnx_against_torch_max_logit_difference"] <= 1e-4
    provenance = config["provenance"]
    assert provenance.get("source", provenance)["images_seen"] > 1000


def test_folder_is_small_and_self_contained() -> None:
    names = {p.name for p in FOLDER.iterdir()}
    assert {"config.json", "model.onnx"} <= names <= {"config.json", "model.onnx", "model.safetensors"}
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) <= 16_000_000


def test_batch_is_dynamic_and_images_do_not_influence_each_other() -> None:
    model = imn.load_model()
    rng = np.random.default_rng(0)
    inputs = {"image": rng.random((5, *model.input_shape), dtype=np.float32)}
    if model.statistics:
        inputs["statistics"] = rng.random((5, len(model.statistics)), dtype=np.float32)
    network = openvino.Core().compile_model(model.onnx_path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    together = network(inputs)[0].copy()
    assert together.shape == (5, model.n_outputs)
    alone = network({name: values[2:3] for name, values in inputs.items()})[0]
    np.testing.assert_allclose(alone, together[2:3], atol=1e-4)


def test_simulated_classes_are_told_apart() -> None:
    # The weights learned from an earlier simulator with other limits between the classes (chance is .25).
    rng = np.random.default_rng(314159)
    scorer = imn.make_scorer(precision="f32")
    simulated = [simulate_ion_image(rng) for _ in range(90)]
    labels = [imn.score_images(each.image, scorer=scorer)["label"][0] for each in simulated]
    assert np.mean([CLASSES[each.label] == label for each, label in zip(simulated, labels, strict=True)]) > 0.4


def test_structure_of_a_real_section_is_ranked(shared_data: Callable[[str], Path]) -> None:
    """Nothing of this section was seen in training."""
    with np.load(shared_data("ion_images/bladder150.npz")) as arrays:
        stack = arrays["images"].astype(np.float32)
        stack[:, ~arrays["mask"].astype(bool)] = np.nan
    labels = pd.read_csv(shared_data("ion_images/bladder150_labels.csv")).set_index("index")
    structured = labels.loc[np.arange(len(stack)), "structure"].to_numpy() >= 1.5
    score = imn.score_images(stack, precision="f32")["score"].to_numpy()
    assert auc(structured, score) >= 0.8
