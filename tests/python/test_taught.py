"""Labels from a teacher, and the command that trains a student with them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra [train]")

import ionmorphnet as imn
from ionmorphnet.labelled.sources import SimulatedSource
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.training.taught import TaughtSource
from model_factory import write_model

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_on_real_images.py"


def source() -> SimulatedSource:
    return SimulatedSource(4, 1, levels=2, sides=(30, 50))


def test_a_full_share_is_what_the_teacher_says() -> None:
    taught = TaughtSource(source(), "atto-sim-3", class_share=1.0, grade_share=1.0)
    for k in range(4):
        own = source()[k]
        frame = imn.score_images(own.image, model="atto-sim-3", cascade=False, threads=1)
        np.testing.assert_allclose(taught[k].probabilities, frame[list(PROBABILITY_COLUMNS)].to_numpy()[0], atol=1e-6)
        assert taught[k].structure == pytest.approx(frame["structure"][0], abs=1e-6)
        np.testing.assert_array_equal(taught[k].image, own.image)
        assert (taught[k].scene, taught[k].key) == (own.scene, own.key)


def test_a_share_lies_between_the_source_and_the_teacher() -> None:
    plain = TaughtSource(source(), "atto-sim-3", class_share=0.0, grade_share=0.0)
    part = TaughtSource(source(), "atto-sim-3", class_share=0.25, grade_share=0.75)
    whole = TaughtSource(source(), "atto-sim-3", class_share=1.0, grade_share=1.0)
    for k in range(4):
        own = source()[k]
        np.testing.assert_allclose(plain[k].probabilities, own.probabilities)
        assert plain[k].structure == pytest.approx(own.structure)
        mixed = 0.75 * own.probabilities + 0.25 * whole[k].probabilities
        np.testing.assert_allclose(part[k].probabilities, mixed, atol=1e-6)
        assert part[k].structure == pytest.approx(0.25 * own.structure + 0.75 * whole[k].structure)


def test_a_teacher_with_a_sample_channel_sees_the_map(tmp_path: Path) -> None:
    write_model(tmp_path / "mapped", structure=True, preprocessing="p99-stretch-32-mask-sample")
    one = next(s for k in range(50) if (s := SimulatedSource(50, 3, sides=(30, 50))[k]).sample is not None)

    class One(SimulatedSource):
        def __getitem__(self, index: int) -> object:
            return one

    grade = TaughtSource(One(1, 0), tmp_path / "mapped")[0].structure
    with_map, without = (
        imn.score_images(one.image, model=tmp_path / "mapped", sample=given, threads=1)["structure"][0]
        for given in (one.sample, None)
    )
    assert grade == pytest.approx(with_map, abs=1e-6)
    assert abs(with_map - without) > 1e-3


def test_wrong_shares_and_teachers_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "classes")
    with pytest.raises(imn.ArgumentError, match="classes: estimates no structure"):
        TaughtSource(source(), tmp_path / "classes")
    with pytest.raises(imn.ArgumentError, match=r"from 0 to 1, got 1\.5 and 1"):
        TaughtSource(source(), "atto-sim-3", class_share=1.5)
    described = TaughtSource(source(), "atto-sim-3", class_share=0.25).describe()
    assert described["kind"] == "simulated"
    assert (described["teacher"], described["class_share"], described["grade_share"]) == ("atto-sim-3", 0.25, 1.0)


def test_the_command_trains_a_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ["--size", "32", "--simulated-images", "16", "--batch", "8", "--threads", "1", "--workers", "0"]
    taught = ["--init", "atto-sim-3", "--teacher", "atto-sim-3", "--teacher-classes", "0.5", "--learning-rate", "1e-3"]
    folder = tmp_path / "model"
    export = ["--folder", str(folder), "--export-images", "24"]
    statistics = ["--statistics", "moran", "blur", "chaos", "coverage"]
    monkeypatch.setattr(sys, "argv", ["t", "--out", str(tmp_path / "run"), *sizes, *taught, *statistics, *export])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 0
    config = json.loads((folder / "config.json").read_text())
    assert config["preprocessing"] == "p99-area-32-mask-sqrt-sample"
    assert config["classes"] == list(CLASSES)
    provenance = config["provenance"]
    data = provenance["source"]["data"]
    assert (data["teacher"], data["class_share"], data["grade_share"]) == ("atto-sim-3", 0.5, 1.0)
    assert provenance["recipe"]["learning_rate"] == 1e-3
    assert provenance["data"].startswith("simulated ion images, with labels of the teacher atto-sim-3, starting from ")
