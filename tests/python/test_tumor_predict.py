from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from safetensors.torch import load_file  # noqa: E402

import ionmorphnet as imn  # noqa: E402
from ionmorphnet.base.devices import Device  # noqa: E402
from ionmorphnet.base.errors import ArgumentError, Cancelled, FileError  # noqa: E402
from ionmorphnet.io.imzml_writer import ImzMLWriter  # noqa: E402
from ionmorphnet.tumor.inference import start_network  # noqa: E402
from ionmorphnet.tumor.outputs import COLOURS  # noqa: E402
from ionmorphnet.tumor.torch_inference import torch_forward  # noqa: E402
from tumor_cohorts import LABELS, MZ, regions, write_cohort, write_section  # noqa: E402

RECIPE = {"batch": 32, "width": 4, "ema_decay": 0.9}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> imn.tumor.Cohort:
    return imn.tumor.read_cohort(write_cohort(tmp_path_factory.mktemp("cohort")), labels=LABELS)


@pytest.fixture(scope="module")
def trained(cohort: imn.tumor.Cohort, tmp_path_factory: pytest.TempPathFactory) -> imn.tumor.TrainedTumorModel:
    out = tmp_path_factory.mktemp("run")
    return imn.tumor.train_tumor(
        out, cohort, method="cnn3d", selection="moran", top=8, size=3, steps=40, recipe=RECIPE, device="cpu", threads=1
    )


@pytest.fixture(scope="module")
def model(trained: imn.tumor.TrainedTumorModel) -> imn.tumor.TumorModel:
    return trained.model


@pytest.fixture(scope="module")
def unnormalised(cohort: imn.tumor.Cohort, tmp_path_factory: pytest.TempPathFactory) -> imn.tumor.TumorModel:
    out = tmp_path_factory.mktemp("unnormalised")
    return imn.tumor.train_tumor(
        out,
        cohort,
        method="cnn3d",
        channels=MZ,
        ppm=20,
        normalize="none",
        standardize="none",
        size=3,
        steps=30,
        recipe=RECIPE,
        device="cpu",
        threads=1,
    ).model


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("new") / "new.imzML"
    write_section(path, np.random.default_rng(99))
    return path


def test_a_model_folder(trained: imn.tumor.TrainedTumorModel, model: imn.tumor.TumorModel) -> None:
    assert {path.name for path in model.folder.iterdir()} == {"config.json", "model.onnx", "model.safetensors"}
    config = json.loads((model.folder / "config.json").read_text())
    assert config["channels"]["mz"] == pytest.approx(model.axis.mz)
    assert len(config["channels"]["half_width_ppm"]) == len(model.axis) == 8
    assert MZ[3] == pytest.approx(model.axis.mz[np.argmin(np.abs(model.axis.mz - MZ[3]))])
    assert config["cost"]["parameters"] > 0
    assert config["provenance"]["validated_on"] == trained.validated_on == "patient3"
    assert str(Path.cwd()) not in (model.folder / "config.json").read_text()
    assert trained.validation is not None
    assert trained.validation["balanced_accuracy"] > 0.85


def test_a_stopped_training_goes_on_and_gives_the_same(
    trained: imn.tumor.TrainedTumorModel, cohort: imn.tumor.Cohort, tmp_path: Path
) -> None:
    def train(progress: Callable[[str, int, int], None] | None = None, steps: int = 40) -> imn.tumor.TrainedTumorModel:
        return imn.tumor.train_tumor(
            tmp_path,
            cohort,
            method="cnn3d",
            selection="moran",
            top=8,
            size=3,
            steps=steps,
            recipe=RECIPE,
            device="cpu",
            threads=1,
            progress=progress,
        )

    def stop(text: str, done: int, _: int) -> None:
        if (text, done) == ("training", 17):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Cancelled, match="stopped at step 17 of 40"):
        train(stop)
    assert not (tmp_path / "model").exists()
    seen: list[int] = []
    again = train(lambda text, done, _: seen.append(done) if text == "training" else None)
    assert seen == list(range(18, 41))
    one, other = (load_file(m.model.folder / "model.safetensors") for m in (trained, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(ArgumentError, match="another recipe"):
        train(steps=41)


def test_prediction(model: imn.tumor.TumorModel, section: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = imn.tumor.predict(model.folder, section, progress=lambda *at: seen.append(at))
    truth = regions()
    measured = found.measured
    assert found.probabilities.shape == (2, 14, 16)
    assert seen[-1] == (measured.sum(), measured.sum())
    np.testing.assert_allclose(found.probabilities[:, measured].sum(axis=0), 1.0, rtol=1e-5)
    assert np.isnan(found.probabilities[:, ~measured]).all()
    judged = (truth > 0) & measured
    assert np.mean(found.labels[judged] == truth[judged].astype(int) - 1) > 0.85
    with imn.open(section) as ds:
        x, y, _ = ds.coordinates[50] - 1
        np.testing.assert_array_equal(found.by_spectrum[50], found.probabilities[:, y, x])
        opened = imn.tumor.predict(model, ds, memory_limit="20kB")
    np.testing.assert_array_equal(opened.by_spectrum, found.by_spectrum)
    assert "normal" in repr(found)
    imn.tumor.write_npz(found, tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as loaded:
        np.testing.assert_array_equal(loaded["by_spectrum"], found.by_spectrum)
        assert loaded["classes"].tolist() == ["normal", "tumor"]
        assert loaded["coordinates"].shape == (measured.sum(), 3)


def test_torch_and_openvino_agree(model: imn.tumor.TumorModel, rng: np.random.Generator) -> None:
    patches = rng.standard_normal((5, 8, 3, 3)).astype(np.float32)
    mask = (rng.random((5, 3, 3)) < 0.8).astype(np.uint8)
    expected = torch_forward(model, Device.parse("cpu"))(patches, mask)
    np.testing.assert_allclose(start_network(model, "cpu", 1)(patches, mask), expected, atol=1e-4)


def test_overlay(model: imn.tumor.TumorModel, section: Path, tmp_path: Path) -> None:
    found = imn.tumor.predict(model, section)
    imn.tumor.write_overlay(found, tmp_path / "o.png", zoom=4)
    picture = np.asarray(Image.open(tmp_path / "o.png").convert("RGB")).astype(int)
    assert picture.shape[0] == 14 * 4 + 16 + 2 * 22
    sure = np.unravel_index(np.nanargmax(found.probabilities[1]), (14, 16))
    colour = picture[8 + sure[0] * 4, 8 + sure[1] * 4]
    distance = [np.abs(colour - np.array(each)).sum() for each in COLOURS[:2]]
    assert distance[1] < distance[0]
    assert (picture[8 + 4, 8 + 2 * 4] == 255).all()  # not measured


def test_overlay_has_the_aspect_of_the_pixels(model: imn.tumor.TumorModel, section: Path) -> None:
    found = imn.tumor.predict(model, section, device="cpu", threads=1)
    height, width = found.labels.shape
    flat = imn.tumor.overlay(replace(found, pixel_size_um=(20.0, 60.0)), zoom=5)
    square = imn.tumor.overlay(replace(found, pixel_size_um=None), zoom=5)
    assert flat.height - square.height == 2 * 5 * height
    wide = imn.tumor.overlay(replace(found, pixel_size_um=(60.0, 20.0)), zoom=5)
    assert wide.width >= 3 * 5 * width
    assert wide.height == square.height


def test_anndata(model: imn.tumor.TumorModel, section: Path) -> None:
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    found = imn.tumor.predict(model, section)
    table = imn.tumor.to_anndata(found)
    assert table.shape == (found.measured.sum(), 8)
    np.testing.assert_allclose(table.obs["p_tumor"], found.probabilities[1][found.measured])
    peaks = imn.pick(section, top=3, scorer="moran").to_anndata()
    imn.tumor.annotate(peaks, found)
    pd.testing.assert_series_equal(peaks.obs["tissue_class"], table.obs["tissue_class"])
    assert list(peaks.obs["tissue_class"].cat.categories) == ["normal", "tumor"]
    peaks.obs_names = ["99_99", *peaks.obs_names[1:]]
    with pytest.raises(ArgumentError, match="pixel new:99_99"):
        imn.tumor.annotate(peaks, found)
    peaks.obs_names = [name.replace("new-", "other-") for name in table.obs_names]
    with pytest.raises(ArgumentError, match=r"pixel other-.* use the table of that section"):
        imn.tumor.annotate(peaks, found)


def _shifted(path: Path, mz: np.ndarray, level: float = 1.0) -> Path:
    rng = np.random.default_rng(1)
    with ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        for y, x in np.ndindex(6, 6):
            writer.add(x + 1, y + 1, mz, level * rng.gamma(8.0, 10.0, len(mz)))
    return path


def test_files_that_do_not_fit_the_model(
    model: imn.tumor.TumorModel,
    unnormalised: imn.tumor.TumorModel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ArgumentError, match=r"spans m/z 900.0000 to 950.0000 and does not reach 8 of the 8 channels"):
        imn.tumor.predict(model, _shifted(tmp_path / "far.imzML", np.linspace(900, 950, 5)), missing="mean")
    half = _shifted(tmp_path / "half.imzML", MZ[:12])
    missing = int((model.axis.mz > MZ[12] - 1).sum())
    assert 0 < missing < 8
    # Its TIC would be that of 12 of 20 channels.
    for choice in ("error", "mean"):
        with pytest.raises(ArgumentError, match=rf"does not reach {missing} of .* the TIC needs m/z 200.0000 to 390"):
            imn.tumor.predict(model, half, missing=choice)
    with pytest.raises(
        ArgumentError, match=r"does not reach 8 of the 20 .*; missing 'mean' sets them to their training mean"
    ):
        imn.tumor.predict(unnormalised, half)
    found = imn.tumor.predict(unnormalised, half, missing="mean")
    assert found.missing == pytest.approx(MZ[12:])
    assert "they are set to their training mean" in caplog.text
    off = _shifted(tmp_path / "off.imzML", np.array([100.0, 500.0]))
    with pytest.raises(ArgumentError, match="have no signal; check that m/z calibration"):
        imn.tumor.predict(model, off)
    with pytest.raises(ArgumentError, match="missing must be one of"):
        imn.tumor.predict(model, half, missing="zero")
    with pytest.raises(ArgumentError, match="threads must be 0"):
        imn.tumor.predict(model, tmp_path / "none.imzML", threads=-1)


def test_a_missing_channel_counts_as_its_mean(unnormalised: imn.tumor.TumorModel, tmp_path: Path) -> None:
    """The prediction is that of a file which holds the training means where this one ends."""
    rng = np.random.default_rng(1)
    means = unnormalised.scaling.centre.astype(np.float64) ** 2  # a cube holds square roots
    with (
        ImzMLWriter(tmp_path / "less.imzML", mode="continuous", spectrum_type="centroid") as less,
        ImzMLWriter(tmp_path / "whole.imzML", mode="continuous", spectrum_type="centroid") as whole,
    ):
        for y, x in np.ndindex(6, 6):
            intensity = rng.gamma(8.0, 10.0, len(MZ))
            less.add(x + 1, y + 1, MZ[:17], intensity[:17])
            whole.add(x + 1, y + 1, MZ, np.concatenate([intensity[:17], means[17:]]))
    found = imn.tumor.predict(unnormalised, tmp_path / "less.imzML", missing="mean")
    assert found.missing == pytest.approx(MZ[17:])
    expected = imn.tumor.predict(unnormalised, tmp_path / "whole.imzML")
    assert not expected.missing
    np.testing.assert_allclose(found.by_spectrum, expected.by_spectrum, atol=1e-4)


def test_a_norm_does_not_depend_on_how_far_a_file_reaches(
    model: imn.tumor.TumorModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert model.span == pytest.approx((MZ[0], MZ[-1]))
    reach = model.axis.mz_lo.min(), model.axis.mz_hi.max()
    channels = (reach[0] <= MZ) & (reach[1] >= MZ)
    assert not channels.all()
    written = {
        "as the training": MZ,
        "further": np.concatenate([[150.0], MZ, [500.0, 700.0]]),
        "less": MZ[channels],
    }
    found = {}
    for name, mz in written.items():
        path = tmp_path / f"{name}.imzML"
        rng = np.random.default_rng(2)
        with ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
            for y, x in np.ndindex(6, 6):
                intensity = dict(zip(MZ, rng.gamma(8.0, 10.0, len(MZ)), strict=True))
                writer.add(x + 1, y + 1, mz, np.array([intensity.get(each, 5000.0) for each in mz]))
        caplog.clear()
        found[name] = imn.tumor.predict(model, path)
        assert ("the TIC is taken over 200.0000 to 390.0000" in caplog.text) == (name == "less")
    np.testing.assert_allclose(found["further"].by_spectrum, found["as the training"].by_spectrum, atol=1e-6)


def test_invalid_model_folders(model: imn.tumor.TumorModel, tmp_path: Path) -> None:
    def changed(**values: Any) -> Path:
        folder = tmp_path / "m"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model.folder, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **values}))
        return folder

    for values, message in (
        ({"kind": "other"}, "not a tumor model"),
        ({"format": 9}, "format 9 is not supported; this version reads 1"),
        ({"size": 4}, "out of range"),
        ({"normalize": "sum"}, "out of range"),
        ({"channels": {}}, r"config\.json: invalid \("),
        ({"span": [3.0, 2.0]}, r"span must be the m/z range \(low, high\)"),
        ({"span": None}, r"config\.json: invalid \("),
    ):
        with pytest.raises(FileError, match=message):
            imn.tumor.load_tumor_model(changed(**values))
    (changed() / "model.onnx").unlink()
    with pytest.raises(FileError, match=r"model\.onnx is missing"):
        imn.tumor.load_tumor_model(tmp_path / "m")
    with pytest.raises(FileError, match=r"config\.json is missing"):
        imn.tumor.load_tumor_model(tmp_path)
    channels = json.loads((model.folder / "config.json").read_text())["channels"]
    fewer = {name: value[:-1] if isinstance(value, list) else value for name, value in channels.items()}
    for values in ({"channels": fewer}, {"size": 5}, {"classes": ["a", "b", "c"]}):
        damaged = imn.tumor.load_tumor_model(changed(**values))
        with pytest.raises(
            FileError, match=r"model\.onnx: expects patches \(channels, y, x\) of \[8, 3, 3\] and returns"
        ):
            start_network(damaged)
        with pytest.raises(FileError, match="the recipe and the model differ in channels, size or classes"):
            torch_forward(damaged, Device.parse("cpu"))
    for recipe in (None, {"colour": 1}, {**model.config["recipe"], "width": "wide"}):
        with pytest.raises(FileError, match=r"config\.json: invalid recipe"):
            torch_forward(imn.tumor.load_tumor_model(changed(recipe=recipe)), Device.parse("cpu"))
    broken = changed()
    (broken / "model.onnx").write_bytes(b"broken")
    with pytest.raises(FileError, match="cannot be loaded"):
        start_network(imn.tumor.load_tumor_model(broken))


@pytest.mark.parametrize("method", ["permutation", "gradients"])
def test_explanations_find_the_channel(model: imn.tumor.TumorModel, cohort: imn.tumor.Cohort, method: str) -> None:
    table = imn.tumor.explain(model, cohort, method=method, pixels=80)
    assert list(table.columns) == [
        "rank",
        "mz",
        "mz_lo",
        "mz_hi",
        "importance",
        "for_normal",
        "for_tumor",
        "method",
    ]
    assert table["mz"].iloc[0] == pytest.approx(MZ[3])
    assert table["importance"].is_monotonic_decreasing
    assert set(table["method"]) == {method}
    with pytest.raises(ArgumentError, match="the cohort has classes"):
        imn.tumor.explain(model, imn.tumor.make_cohort(cohort.sections))


def test_classes_are_known_by_name(model: imn.tumor.TumorModel, cohort: imn.tumor.Cohort) -> None:
    turned = imn.tumor.make_cohort(cohort.sections, labels={"2": "tumor", "1": "normal"})
    assert turned.classes == ("tumor", "normal")
    expected, found = (imn.tumor.explain(model, each, pixels=40) for each in (cohort, turned))
    pd.testing.assert_frame_equal(found, expected)


def test_an_explanation_needs_all_channels(
    model: imn.tumor.TumorModel, cohort: imn.tumor.Cohort, tmp_path: Path
) -> None:
    _shifted(tmp_path / "far.imzML", np.linspace(900, 950, 5))
    np.save(tmp_path / "far.npy", np.ones((6, 6), int))
    far = imn.tumor.SectionFile("far", tmp_path / "far.imzML", tmp_path / "far.npy", "p")
    with pytest.raises(ArgumentError, match=r"section 'far'.* does not reach 8 of the 8 channels"):
        imn.tumor.explain(model, imn.tumor.make_cohort([*cohort.sections, far], labels=LABELS), pixels=20)


def test_integrated_gradients_add_up(model: imn.tumor.TumorModel, rng: np.random.Generator) -> None:
    from ionmorphnet.tumor.explain import _gradients

    patches = rng.standard_normal((4, 8, 3, 3)).astype(np.float32)
    mask, label = np.ones((4, 3, 3), np.uint8), np.array([0, 1, 0, 1])
    forward = start_network(model)

    def wanted(given: np.ndarray) -> np.ndarray:
        logits = forward(given, mask)
        return logits[np.arange(4), label] - logits.mean(axis=1)

    found = _gradients(model, patches, mask, label, None).sum(axis=1)
    np.testing.assert_allclose(found, wanted(patches) - wanted(0 * patches), atol=0.03)


@pytest.mark.parametrize("patients", [1, 2])
def test_two_patients_train_without_validation(
    cohort: imn.tumor.Cohort, tmp_path: Path, patients: int, caplog: pytest.LogCaptureFixture
) -> None:
    one = imn.tumor.make_cohort(cohort.sections[:patients], labels=LABELS)
    done = imn.tumor.train_tumor(
        tmp_path, one, method="cnn3d", channels=MZ[:5], ppm=20, size=1, steps=3, recipe=RECIPE, device="cpu", threads=1
    )
    assert done.validation is None
    assert done.validated_on is None
    assert "no patient is held out" in caplog.text
    assert len(done.model.axis) == 5
    assert done.model.size == 1


def test_one_rule_for_given_channels(cohort: imn.tumor.Cohort, tmp_path: Path) -> None:
    options: dict[str, Any] = {"ppm": 20, "method": "lda", "device": "cpu", "threads": 1}
    some = imn.tumor.train_tumor(tmp_path / "a", cohort, channels=MZ, selection="intensity", top=3, **options)
    assert len(some.model.axis) == 3
    assert some.model.axis.method.startswith("intensity 3 of")
    for bad in ({"selection": "best"}, {"top": 0}):
        with pytest.raises(ArgumentError):
            imn.tumor.train_tumor(tmp_path / "b", cohort, channels=MZ, **options, **bad)


def test_masks_are_read_before_channels_are_ranked(
    cohort: imn.tumor.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ionmorphnet.tumor import train

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("channels were ranked")

    monkeypatch.setattr(train, "section_scores", never)
    np.save(tmp_path / "small.npy", np.ones((3, 3), int))
    last = replace(cohort.sections[-1], regions=tmp_path / "small.npy")
    with pytest.raises(FileError, match=r"small\.npy: the mask has shape"):
        imn.tumor.train_tumor(tmp_path / "run", replace(cohort, sections=(*cohort.sections[:-1], last)))
    with pytest.raises(ArgumentError, match="class 'other' has no labelled pixel"):
        imn.tumor.train_tumor(tmp_path / "run", replace(cohort, classes=(*cohort.classes, "other")))
