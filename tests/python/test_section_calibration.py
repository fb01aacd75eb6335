"""Calibration of a model to one section: the map, its file, and picks with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.evaluate.metrics import concordance
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.scoring.section_calibration import (
    SectionCalibration,
    Trial,
    calibration_of,
    features,
    fit_calibration,
    read_calibration,
)
from model_factory import write_model

Command = Callable[..., Any]
P = list(PROBABILITY_COLUMNS)
MODEL = imn.load_model()


def outputs(classes: np.ndarray, structure: np.ndarray, sure: float = 0.7, seed: int = 0) -> pd.DataFrame:
    """What a model says that finds ``classes`` most probable."""
    rng = np.random.default_rng(seed)
    rest = rng.dirichlet(np.ones(len(CLASSES)), len(classes))
    probabilities = sure * np.eye(len(CLASSES))[classes] + (1 - sure) * rest
    frame = pd.DataFrame({"score": structure / 3.0, "label": [CLASSES[k] for k in probabilities.argmax(axis=1)]})
    frame[P] = probabilities
    return frame.assign(structure=structure)


def disagreeing(n: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The model calls localized what people call structured, and its grades are 0.8 too high."""
    rng = np.random.default_rng(seed)
    people = rng.choice([0, 4], n)
    grade = np.clip(np.where(people == 0, 2.0, 0.6) + rng.normal(0, 0.3, n), 0.0, 2.1)
    frame = outputs(np.where(people == 0, 2, 4), np.clip(grade + 0.8, 0.0, 2.95), seed=seed)
    return frame, np.eye(6)[people], grade


def test_a_map_learns_the_convention_and_the_scale() -> None:
    frame, labels, grades = disagreeing(20)
    found = fit_calibration(frame, labels, grades, MODEL, section="slice", uuid="u")
    assert found.class_trial.accepted
    assert found.class_trial.after > found.class_trial.before + 0.2
    assert found.structure_trial is not None
    assert found.structure_trial.accepted
    assert (found.section, found.uuid, found.class_trial.labels) == ("slice", "u", 20)
    other, truth, true_grades = disagreeing(200, seed=1)
    mapped = found.apply(other, MODEL)
    agreement = [(each[P].to_numpy().argmax(axis=1) == truth.argmax(axis=1)).mean() for each in (other, mapped)]
    assert agreement[0] < 0.7
    assert agreement[1] > 0.95
    error = [np.abs(each["structure"] - true_grades).mean() for each in (other, mapped)]
    assert error[1] < 0.5 * error[0]
    np.testing.assert_allclose(mapped["score"], mapped["structure"] / 3.0)
    np.testing.assert_allclose(mapped[P].sum(axis=1), 1.0)
    assert mapped["label"].tolist() == [CLASSES[k] for k in mapped[P].to_numpy().argmax(axis=1)]
    # Of the arguments, nothing changes.
    assert other["structure"].max() > mapped["structure"].max()


def test_labels_that_agree_or_tell_nothing_keep_the_identity() -> None:
    rng = np.random.default_rng(2)
    people = rng.integers(0, 6, 30)
    grades = rng.uniform(0.2, 2.8, 30)
    sure = outputs(people, grades, sure=0.97)
    found = fit_calibration(sure, np.eye(6)[people], grades, MODEL)
    assert found.is_identity
    assert not found.class_trial.accepted
    assert all("not accepted" in line for line in found.lines())
    pd.testing.assert_frame_equal(found.apply(sure, MODEL), sure)
    # Labels at random: no map predicts them.
    noise = fit_calibration(outputs(people, grades), np.eye(6)[rng.permutation(people)], np.full(30, np.nan), MODEL)
    assert noise.structure_trial is None
    assert noise.structure_map is None
    assert len(noise.lines()) == 1


def test_equal_labels_are_no_reason_to_fail() -> None:
    frame, _, _ = disagreeing(10)
    found = fit_calibration(frame, np.eye(6)[np.zeros(10, int)], np.full(10, 3.0), MODEL)
    assert found.class_trial.after >= found.class_trial.before
    mapped = found.apply(frame, MODEL)
    assert np.isfinite(mapped[P].to_numpy()).all()
    assert (mapped["structure"] <= 3.0).all()


def test_a_map_of_the_structure_alone_keeps_the_order() -> None:
    frame, _, _ = disagreeing(30)
    structure_map = np.zeros(8)
    structure_map[-2:] = (-0.6, -1.5)
    trial = Trial(30, 1.0, 0.0, 0.0, 0.0, True)
    found = SectionCalibration(MODEL.name, MODEL.sha256, "", None, "none", None, structure_map, trial, trial)
    frame["structure"] = np.linspace(0.0, 3.0, 30)
    mapped = found.apply(frame.assign(score=frame["structure"] / 3), MODEL)
    assert concordance(mapped["score"].to_numpy(), np.arange(30)) > 0.99  # both ends may meet 0 or 3
    inner = mapped["structure"].to_numpy()[5:25]
    assert (np.diff(inner) > 0).all()
    assert inner.max() < 2.6


def test_ordering_is_not_given_up_for_a_smaller_error() -> None:
    # Within both classes the grade falls with the structure that the model gives: no map of the structure may rise.
    rng = np.random.default_rng(4)
    structure = rng.uniform(0.5, 2.5, 24)
    frame = outputs(rng.integers(0, 6, 24), structure)
    found = fit_calibration(frame, np.eye(6)[np.zeros(24, int)], 3.0 - structure, MODEL)
    if found.structure_map is not None:
        mapped = found.apply(frame, MODEL)
        assert concordance(mapped["score"], 3.0 - structure) >= concordance(frame["score"], 3.0 - structure)


def test_blank_images_stay() -> None:
    frame, labels, grades = disagreeing(20)
    found = fit_calibration(frame, labels, grades, MODEL)
    blank = frame.copy()
    blank.loc[3, [*P, "score", "structure"]] = [*np.eye(6)[4], 0.0, 0.0]
    blank.loc[3, "label"] = "unstructured"
    mapped = found.apply(blank, MODEL)
    assert mapped.loc[3, [*P, "score", "structure"]].tolist() == [0.0] * 4 + [1.0] + [0.0] * 3
    # Spared by a cascade: with a score of its own.
    blank.loc[3, ["score", "structure"]] = [0.1, 0.3]
    assert found.apply(blank, MODEL).loc[3, ["score", "structure"]].tolist() == [0.1, 0.3]
    assert (found.apply(blank, MODEL)["score"].drop(3) != blank["score"].drop(3)).all()


def test_the_file_keeps_everything(tmp_path: Path) -> None:
    frame, labels, grades = disagreeing(20)
    found = fit_calibration(frame, labels, grades, MODEL, section="slice")
    found.save(tmp_path / "c.json")
    again = calibration_of(tmp_path / "c.json")
    assert again is not None
    pd.testing.assert_frame_equal(again.apply(frame, MODEL), found.apply(frame, MODEL))
    assert again.lines() == found.lines()
    assert again.record() == found.record()
    (tmp_path / "broken.json").write_text((tmp_path / "c.json").read_text().replace('"schema": 1', '"schema": 9'))
    with pytest.raises(FileError, match=r"broken\.json: not a calibration of a section"):
        read_calibration(tmp_path / "broken.json")
    values = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "short.json").write_text(json.dumps(values | {"class_map": values["class_map"][1:]}))
    with pytest.raises(FileError, match="a map of shape"):
        read_calibration(tmp_path / "short.json")


def test_unusable_input_is_refused() -> None:
    frame, labels, grades = disagreeing(20)
    found = fit_calibration(frame, labels, grades, MODEL)
    with pytest.raises(ArgumentError, match="made for another model"):
        found.apply(frame, dataclasses.replace(MODEL, sha256="0" * 64))
    with pytest.raises(ArgumentError, match="needs the model it was made for"):
        found.require_model(None)
    with pytest.raises(ArgumentError, match="at least 8 labelled images, got 7"):
        fit_calibration(frame[:7], labels[:7], grades[:7], MODEL)
    with pytest.raises(ArgumentError, match=r"20 images need labels \(20, 6\)"):
        fit_calibration(frame, labels[:19], grades, MODEL)


def test_features_are_bounded() -> None:
    extreme = np.vstack([np.eye(6), np.full((1, 6), 1 / 6)])
    found = features(extreme, np.array([0.0, 3.0, 1.5, 0.0, 3.0, 1.5, 1.5]))
    assert found.shape == (7, 7)
    assert np.abs(found).max() < 2.0
    np.testing.assert_allclose(found[6], 0.0, atol=1e-12)
    np.testing.assert_array_equal(features(extreme, None)[:, -1], 0.0)


@pytest.fixture(scope="module")
def picked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated section with the result folder of a pick of it."""
    folder = tmp_path_factory.mktemp("calibrate")
    imn.simulate(
        folder / "slice.imzML",
        seed=4,
        shape=(24, 30),
        n_channels=40,
        n_informative=20,
        mode="continuous",
        spectrum_type="centroid",
    )
    write_model(folder / "model", structure=True, statistics=["moran", "blur"])
    imn.pick(folder / "slice.imzML", **options(folder)).save(folder / "result")
    return folder


def options(folder: Path, **others: Any) -> dict[str, Any]:
    """Arguments of a pick: a small network, and the channels of the file."""
    return {"model": folder / "model", "precision": "f32", "axis": "bins", "top": 40} | others


def write_labels(path: Path, peaks: imn.PeakList, n: int = 16) -> Path:
    """People call the upper half of the ranking negative, the rest unstructured, and halve the model's grades."""
    frame = peaks.all_scores.iloc[:: max(1, len(peaks.all_scores) // n)][:n]
    label = np.where(np.arange(n) < n // 2, "negative", "unstructured")
    pd.DataFrame({"mz": frame["mz"], "label": label, "structure": frame["structure"] / 2}).to_csv(path, index=False)
    return path


def test_a_pick_with_a_calibration(picked: Path, tmp_path: Path) -> None:
    before = imn.open_run(picked / "result")
    labels = write_labels(tmp_path / "labels.csv", before)
    found = imn.calibrate(picked / "result", labels, out=tmp_path / "c.json", model=picked / "model")
    assert found.section == "slice"
    assert found.class_trial.accepted
    assert found.class_trial.labels == 16
    after = imn.pick(picked / "slice.imzML", **options(picked, calibration=tmp_path / "c.json"))
    by_mz = [each.all_scores.sort_values("mz", ignore_index=True) for each in (before, after)]
    expected = found.apply(by_mz[0], imn.load_model(picked / "model"))
    np.testing.assert_allclose(by_mz[1][P], expected[P], atol=1e-9)
    np.testing.assert_allclose(by_mz[1]["score"], expected["score"], atol=1e-9)
    assert not np.allclose(by_mz[1]["score"], by_mz[0]["score"], atol=0.05)
    assert (np.diff(after.all_scores["score"]) <= 0).all()
    assert after.score_description.endswith("calibrated with labels")
    assert after.run is not None
    assert after.run.calibration == found.record()
    assert after.run.warnings == ()
    after.save(tmp_path / "calibrated")
    record = json.loads((tmp_path / "calibrated" / "run.json").read_text(encoding="utf-8"))
    assert record["calibration"] == dataclasses.asdict(found.record())
    again = imn.open_run(tmp_path / "calibrated")
    assert again.run is not None
    assert again.run.calibration == found.record()
    with pytest.raises(ArgumentError, match="calibrated already"):
        imn.calibrate(again, labels)


def test_records_without_calibration_are_read(picked: Path) -> None:
    peaks = imn.open_run(picked / "result")
    assert peaks.run is not None
    values = peaks.run.to_dict()
    assert values.pop("calibration") is None
    assert imn.RunRecord.from_dict(values) == peaks.run


def test_an_unpicked_section_is_picked_first(picked: Path, tmp_path: Path) -> None:
    model = imn.load_model(picked / "model")
    with imn.open(picked / "slice.imzML") as section:
        labels = write_labels(tmp_path / "labels.csv", imn.pick(section, **options(picked, axis=None)))
        found = imn.calibrate(section, labels, model=model, precision="f32")
    assert found.class_trial.labels == 16
    assert found.sha256 == model.sha256


def test_normalised_images(picked: Path, tmp_path: Path) -> None:
    section = picked / "slice.imzML"
    labels = write_labels(tmp_path / "labels.csv", imn.pick(section, **options(picked, axis=None, normalize="tic")))
    found = imn.calibrate(section, labels, model=picked / "model", normalize="tic", out=tmp_path / "c.json")
    assert read_calibration(tmp_path / "c.json").normalize == found.normalize == "tic"
    same = imn.pick(section, **options(picked, normalize="tic", calibration=found))
    other = imn.pick(section, **options(picked, calibration=found))
    assert same.run is not None
    assert other.run is not None
    assert same.run.warnings == ()
    assert other.run.warnings == (
        "the calibration was made with labels of images that were normalised by tic, and these are not normalised; "
        "pick with --normalize tic, or calibrate a pick with --normalize none",
    )
    for source in (picked / "result", other):
        with pytest.raises(ArgumentError, match=r"normalize: .* has the scores of its own images"):
            imn.calibrate(source, labels, normalize="tic")


def test_labels_that_fit_no_channel_are_reported(
    picked: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    peaks = imn.open_run(picked / "result")
    labels = write_labels(tmp_path / "labels.csv", peaks)
    rows = pd.read_csv(labels)
    rows.loc[0, "mz"] = 12.5
    rows.to_csv(labels, index=False)
    assert imn.calibrate(peaks, labels, model=picked / "model").class_trial.labels == 15
    assert "m/z 12.5 is in no channel of the pick" in caplog.text
    rows[:8].to_csv(labels, index=False)
    with pytest.raises(FileError, match=r"labels\.csv: 7 usable labels, at least 8 are needed; .*no such channel"):
        imn.calibrate(peaks, labels, model=picked / "model")


def test_other_models_and_sections(picked: Path, tmp_path: Path) -> None:
    result, section = imn.open_run(picked / "result"), picked / "slice.imzML"
    labels = write_labels(tmp_path / "labels.csv", result)
    found = imn.calibrate(result, labels, model=picked / "model")
    other = dataclasses.replace(found, sha256="0" * 64)
    other.save(tmp_path / "other.json")
    with pytest.raises(ArgumentError, match=r"other\.json: made for another model"):
        imn.pick(section, **options(picked, calibration=tmp_path / "other.json"))
    with pytest.raises(ArgumentError, match="calibration: made for another model"):
        imn.pick_files([section], tmp_path / "out", calibration=other, model=picked / "model")
    with pytest.raises(ArgumentError, match="calibration: a calibration needs the model"):
        imn.pick(section, top=3, scorer="moran", calibration=found)
    elsewhere = dataclasses.replace(found, uuid="another", section="slice 2")
    peaks = imn.pick(section, **options(picked, calibration=elsewhere))
    assert peaks.run is not None
    assert peaks.run.warnings == ("the calibration was made with labels of another section, slice 2",)
    with pytest.raises(ArgumentError, match="not a classical score"):
        imn.calibrate(imn.pick(section, top=3, scorer="moran"), labels)
    with pytest.raises(ArgumentError, match="the pick was made with another model"):
        imn.calibrate(result, labels, model=MODEL)
    with pytest.raises(ArgumentError, match="the model of the pick, 'model', is not bundled; give its folder"):
        imn.calibrate(result, labels)


def test_the_commands(cli: Command, picked: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv", imn.open_run(picked / "result"))
    model = ("--model", picked / "model")
    done = cli("calibrate", picked / "result", "--labels", labels, "-o", tmp_path / "c.json", *model)
    assert done.code == 0
    assert "classes: agreement with 16 labels" in done.stdout
    assert "accepted" in done.stdout
    assert read_calibration(tmp_path / "c.json").section == "slice"
    arguments = ("--top", 5, "--axis", "bins", "--calibration", tmp_path / "c.json", *model)
    done = cli("pick", picked / "slice.imzML", "-o", tmp_path / "out", *arguments)
    assert done.code == 0
    record = json.loads((tmp_path / "out" / "slice" / "run.json").read_text(encoding="utf-8"))
    assert record["calibration"]["labels"] == 16
    done = cli("pick", picked / "slice.imzML", "-o", tmp_path / "out", "--calibration", tmp_path / "none.json")
    done.is_one_line_error("none.json")
    pd.read_csv(labels)[:5].to_csv(labels, index=False)
    done = cli("calibrate", picked / "result", "--labels", labels, "-o", tmp_path / "d.json", *model)
    done.is_one_line_error("labels.csv", "5 usable labels")
    assert not (tmp_path / "d.json").exists()
