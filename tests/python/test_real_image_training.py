"""Training on real images: mixtures, withheld sample maps, predictions, and sources held out in turn."""

from __future__ import annotations

import runpy
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

import ionmorphnet as imn  # noqa: E402
from ionmorphnet.labelled.real_images import read_real_images  # noqa: E402
from ionmorphnet.labelled.sources import Sample  # noqa: E402
from ionmorphnet.models.labels import PROBABILITY_COLUMNS  # noqa: E402
from ionmorphnet.models.networks.derive import read_network  # noqa: E402
from ionmorphnet.training.fit import Execution, fit  # noqa: E402
from ionmorphnet.training.real_images import Shares, mixture, real_stage, simulated_stage  # noqa: E402
from ionmorphnet.training.recipe import Phase, Recipe  # noqa: E402
from ionmorphnet.training.run_state import load_file  # noqa: E402
from real_image_factory import write_real_images  # noqa: E402
from training_sources import DiscsAndNoise  # noqa: E402

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_on_real_images.py"
MAPPED = Recipe(
    phases=(Phase(32, 16, 8),), sample=True, compile=False, precision="f32", augmentation="none", unknown_maps=0.0
)


@dataclass(frozen=True)
class Mapped(DiscsAndNoise):
    """The same images with a sample map of one value."""

    value: float = 1.0

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, sample=np.where(sample.mask, np.float32(self.value), np.float32(0)))


def _trained(out: Path, recipe: Recipe, value: float) -> dict[str, Any]:
    fit(recipe, out, source=Mapped(16, value=value), execution=Execution(workers=0, threads=1))
    return load_file(out / "weights.pt", "weights")["weights"]  # type: ignore[no-any-return]


def test_a_withheld_map_is_not_seen(tmp_path: Path) -> None:
    withheld = replace(MAPPED, unknown_maps=1.0)
    a, b = (_trained(tmp_path / f"w{k}", withheld, value) for k, value in enumerate((1.0, 0.2)))
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    c, d = (_trained(tmp_path / f"s{k}", MAPPED, value) for k, value in enumerate((1.0, 0.2)))
    assert not all(torch.equal(value, d[name]) for name, value in c.items())


def test_a_mixture_has_its_shares(tmp_path: Path) -> None:
    corpus = read_real_images(write_real_images(tmp_path), may_train=True)
    mixed = mixture(corpus, 400, 3, Shares(real=0.5, semi_synthetic=0.0, simulated=0.5))
    kinds = [part["kind"] for part in mixed.describe()["parts"]]  # type: ignore[attr-defined]
    assert kinds == ["corpus", "simulated"]
    simulated = sum(mixed[k].dataset == "simulated" for k in range(0, 400, 4))
    assert 45 <= simulated <= 55
    assert {mixed[k].dataset for k in range(0, 80, 2)} == {"alpha", "beta", "simulated"}
    with pytest.raises(imn.ArgumentError, match="one of them above 0"):
        Shares(real=0.0, semi_synthetic=0.0, simulated=0.0)


def test_stages_keep_the_network() -> None:
    first = simulated_stage(MAPPED, size=64, images=10)
    second = real_stage(first, images=20)
    assert first.preprocessing == second.preprocessing
    assert [phase.images for phase in second.phases] == [20]
    assert second.learning_rate < first.learning_rate


def test_sources_are_held_out_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_real_images(tmp_path / "data" / "real_images")
    sizes = ["--size", "32", "--simulated-images", "16", "--images", "16", "--batch", "8", "--threads", "1"]
    out = tmp_path / "run"
    given = ["train", "--out", str(out), "--data", str(tmp_path / "data"), *sizes, "--workers", "0", "--hold-out"]
    monkeypatch.setattr(sys, "argv", [*given, "alpha", "gamma"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 0
    # gamma never trains, so the weights of all the others judge it.
    assert sorted(path.name for path in (out / "held-out").iterdir()) == ["alpha.csv", "gamma.csv"]
    assert sorted(path.name for path in (out / "without").iterdir()) == ["alpha"]
    alpha = pd.read_csv(out / "held-out" / "alpha.csv")
    assert set(alpha["source"]) == {"alpha"}
    assert len(alpha) == 8
    np.testing.assert_allclose(alpha[list(PROBABILITY_COLUMNS)].sum(axis=1), 1.0, atol=1e-6)
    provenance = load_file(out / "without" / "alpha" / "weights.pt", "provenance")["provenance"]
    assert "alpha" not in str(provenance["data"])
    without = pd.read_csv(out / "held-out-without-map" / "alpha.csv")
    assert list(without["key"]) == list(alpha["key"])


def test_both_stages_make_a_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_real_images(tmp_path / "data" / "real_images")
    sizes = ["--size", "32", "--simulated-images", "16", "--images", "16", "--batch", "8", "--threads", "1"]
    given = ["--out", str(tmp_path / "run"), "--data", str(tmp_path / "data"), *sizes, "--workers", "0"]
    given += ["--sample-statistics", "--folder", str(tmp_path / "model"), "--export-images", "24"]
    monkeypatch.setattr(sys, "argv", ["t", *given])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 0
    model = imn.load_model(tmp_path / "model")
    assert model.preprocessing == "p99-area-32-mask-sqrt-sample"
    assert "simulated ion images and" in model.config["provenance"]["data"]
    assert model.config["sample_statistics"] is True
    assert read_network(model).head.sample is not None
    image = np.random.default_rng(0).random((1, 30, 40), dtype=np.float32)
    with_map = imn.score_images(image, model=model.folder, sample=np.ones((30, 40), np.float32), precision="f32")
    without = imn.score_images(image, model=model.folder, precision="f32")
    assert with_map["score"][0] != without["score"][0]


def test_holding_out_needs_real_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path), "--hold-out", "all"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 1
    assert "give --data" in capsys.readouterr().err
