"""The script that trains, calibrates and exports the bundled model; test_fit tests its training."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.simulation import simulate_ion_image

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from ionmorphnet.models.labels import STATISTICS  # noqa: E402
from ionmorphnet.models.networks.derive import read_network  # noqa: E402
from training_sources import DiscsAndNoise  # noqa: E402

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_bundled_model.py"


def test_the_script_writes_a_usable_model_folder(short_model: Path) -> None:
    assert sorted(path.name for path in short_model.iterdir()) == ["config.json", "model.onnx"]
    config = json.loads((short_model / "config.json").read_text())
    assert (config["name"], config["preprocessing"]) == ("short", "p99-stretch-64-mask")
    assert config["score"] == {"kind": "structure"}
    assert config["statistics"] == list(STATISTICS)
    assert [phase["size"] for phase in config["provenance"]["recipe"]["phases"]] == [32, 64]
    assert config["provenance"]["source"]["images_seen"] == 80
    assert "simulated ion images only" in config["provenance"]["data"]
    images = np.stack([simulate_ion_image(np.random.default_rng(k), shape=(40, 50)).image for k in range(3)])
    scores = imn.score_images(images, model=short_model, precision="f32")
    assert scores["score"].between(0, 1).all()
    np.testing.assert_allclose(scores["structure"], 3 * scores["score"], rtol=1e-5)


def test_fine_tuning_starts_from_such_a_folder(short_model: Path, tmp_path: Path) -> None:
    before = read_network(short_model).state_dict()
    done = imn.train(
        tmp_path, source=DiscsAndNoise(8), init=short_model, images=8, size=32, batch=8, workers=0, threads=1
    )
    after = torch.load(done.weights, weights_only=True)["weights"]
    assert done.recipe.start.startswith("model ")
    assert after.keys() == before.keys()
    moved = max(float((after[name] - value).abs().max()) for name, value in before.items())
    assert 0.0 < moved < 0.01  # one step at the rate of fine-tuning


def test_an_unwritable_folder_is_reported_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("")
    arguments = ["train", "--out", str(tmp_path / "run"), "--folder", str(tmp_path / "model")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 1
    assert "thesis.txt" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
