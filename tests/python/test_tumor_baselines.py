from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.base.devices import Device
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.evaluate.bootstrap import BootstrapOptions
from ionmorphnet.evaluate.thinned import gaussian_blur
from ionmorphnet.tumor.baselines import BASELINES, CLASSIFIERS, FittedBaseline, _inner_folds, most_pixels, parse_method
from ionmorphnet.tumor.cubes import Cube, open_cubes
from ionmorphnet.tumor.inference import start_network
from ionmorphnet.tumor.patches import (
    FEATURES,
    LEAST_TEXTURE,
    LEAST_VARIANCE,
    Scaling,
    labelled_pixels,
    local_features,
)
from ionmorphnet.tumor.selection import section_scores, select
from ionmorphnet.tumor.texture import texture_projection
from ionmorphnet.tumor.train import MODEL_METHODS
from tumor_cohorts import LABELS, MZ, regions, write_cohort, write_section

pytest.importorskip("sklearn", reason="the baselines need the extra [tumor]")


def _three_classes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    label = (rng.random(600) < 0.15).astype(np.int64) + (rng.random(600) < 0.3)
    values = rng.standard_normal((600, 6)).astype(np.float32)
    values[:, 0] += 3.0 * label
    values[:, 1] -= 3.0 * (label == 1)
    return values, label, rng.integers(0, 4, 600)


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_every_baseline_learns_unbalanced_classes(name: str, rng: np.random.Generator) -> None:
    values, label, groups = _three_classes(rng)
    first, again = (FittedBaseline(name, values[:400], label[:400], groups[:400], seed=1, threads=1) for _ in range(2))
    found = first.probabilities(values[400:])
    assert found.shape == (200, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)
    recalls = [np.mean(found.argmax(axis=1)[label[400:] == k] == k) for k in range(3)]
    assert np.mean(recalls) > 0.8, recalls
    np.testing.assert_array_equal(found, again.probabilities(values[400:]))
    assert first.inner_auc > 0.85
    assert dict(first.chosen) in [dict(each) for each in CLASSIFIERS[name].grid]


def test_hyper_parameters_are_those_that_inner_folds_prefer(rng: np.random.Generator) -> None:
    """The class is a ring, which trees of many leaves and no linear classifier finds."""
    values = rng.standard_normal((900, 2)).astype(np.float32)
    label = (np.abs((values**2).sum(axis=1) - 1.5) < 0.8).astype(np.int64)
    groups = np.arange(900) % 3
    assert FittedBaseline("boosting", values, label, groups, seed=0, threads=1).inner_auc > 0.9
    assert FittedBaseline("rbf", values, label, groups, seed=0, threads=1).inner_auc > 0.9
    assert FittedBaseline("lda", values, label, groups, seed=0, threads=1).inner_auc < 0.6


def test_inner_folds_do_not_split_patients() -> None:
    groups = np.repeat([4, 7, 9, 11], 5)
    label = np.tile([0, 1, 0, 1, 1], 4)
    folds = list(_inner_folds(label, groups))
    assert len(folds) == 3
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 20
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(20))
    assert list(_inner_folds(label, np.zeros(20, int))) == []
    # A fold that leaves no second class to train on is of no use.
    assert len(list(_inner_folds((groups == 4).astype(int), groups))) == 2


def test_one_patient_leaves_nothing_to_choose_by(rng: np.random.Generator) -> None:
    values, label, _ = _three_classes(rng)
    for name in ("svm", "logistic"):
        fitted = FittedBaseline(name, values, label, np.zeros(600, np.int64), seed=0, threads=1)
        assert np.isnan(fitted.inner_auc)
        assert dict(fitted.chosen) == dict(CLASSIFIERS[name].grid[0])
        assert np.mean(fitted.probabilities(values).argmax(axis=1) == label) > 0.8


def test_local_features(tmp_path: Path) -> None:
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path, patients=2), labels=LABELS)
    with open_cubes(cohort, imn.CandidateAxis.from_mz_list(MZ, ppm=20), standardize="z") as cubes:
        pixels = labelled_pixels(cubes, [0, 1])
        scaling = Scaling.of(cubes, pixels, np.arange(3, 6))
        found = {kind: local_features(cubes, pixels, scaling, kind) for kind in ("", "-mean", "-meanstd")}
        projection = texture_projection("-texture", cubes, pixels, scaling)
        texture = local_features(cubes, pixels, scaling, "-texture", projection)
        for i in (0, 17, len(pixels) - 1):
            cube = cubes[pixels.section[i]]
            y, x = divmod(int(pixels.pixel[i]), cube.measured.shape[1])
            block = slice(max(y - 2, 0), y + 3), slice(max(x - 2, 0), x + 3)
            near = (cube.values[block][cube.measured[block]][:, 3:6] - scaling.centre) * scaling.scale
            np.testing.assert_allclose(found["-mean"][i], near.mean(axis=0), atol=1e-5)
            spread = np.sqrt(near.var(axis=0) + LEAST_VARIANCE)
            np.testing.assert_allclose(found["-meanstd"][i], [*near.mean(axis=0), *spread], atol=1e-5)
            variances = []
            for half in (2, 4):
                block = slice(max(y - half, 0), y + half + 1), slice(max(x - half, 0), x + half + 1)
                near = (cube.values[block][cube.measured[block]][:, 3:6] - scaling.centre) * scaling.scale @ projection
                variances += [*np.log(near.var(axis=0) + LEAST_TEXTURE)]
            np.testing.assert_allclose(texture[i], [*found["-mean"][i], *variances], atol=1e-4)
            own = (cube.values[y, x, 3:6] - scaling.centre) * scaling.scale
            np.testing.assert_allclose(found[""][i], own, atol=1e-5)


def _patterned(rng: np.random.Generator, loads: np.ndarray, shape: tuple[int, int] = (70, 60)) -> Cube:
    """A section whose channels share one pattern, each with its weight, under noise."""
    pattern = gaussian_blur(rng.standard_normal(shape), 1.2)
    noise = rng.standard_normal((*shape, len(loads)))
    values = (noise + (pattern / pattern.std())[..., None] * loads).astype(np.float32)
    measured = rng.random(shape) < 0.95
    values *= measured[..., None]
    return Cube("a", "a", "a", values, measured, np.where(measured, 0, -1).astype(np.int16))


def test_a_projection_finds_a_shared_pattern_under_noise(rng: np.random.Generator) -> None:
    loads = np.zeros(30)
    loads[:8] = 0.4 * np.array([1, 1, -1, 1, -1, -1, 1, 1])
    cubes = [_patterned(rng, loads) for _ in range(2)]
    pixels = labelled_pixels(cubes, [0, 1])
    scaling = Scaling.of(cubes, pixels, np.arange(30))
    projection = texture_projection("-texture", cubes, pixels, scaling)
    assert projection.shape == (30, 12)
    first = projection[:, 0] / np.linalg.norm(projection[:, 0])
    assert abs(first @ loads) / np.linalg.norm(loads) > 0.97  # signs and all
    # Single pixels have about unit variance in it, and strips of a large section give the same as the whole.
    own = [(cube.values[cube.measured] * scaling.scale @ projection).std(axis=0) for cube in cubes]
    assert 0.8 < np.median(own) < 1.2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ionmorphnet.tumor.texture._VALUES", 60 * 30 * 20)
        strips = texture_projection("-texture", cubes, pixels, scaling)
    np.testing.assert_allclose(np.abs(strips), np.abs(projection), rtol=1e-3, atol=1e-4)
    assert texture_projection("-mean", cubes, pixels, scaling) is None


def test_channels_without_signal_have_a_projection(rng: np.random.Generator) -> None:
    cube = _patterned(rng, np.zeros(4))
    cube.values[...] = 0.0
    pixels = labelled_pixels([cube], [0])
    scaling = Scaling.of([cube], pixels, np.arange(4))
    projection = texture_projection("-texture", [cube], pixels, scaling)
    features = local_features([cube], pixels[:5], scaling, "-texture", projection)
    np.testing.assert_allclose(features, [[0.0] * 4 + [np.log(LEAST_TEXTURE)] * 8] * 5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, each in CLASSIFIERS.items() if each.kind != "trees"])
@pytest.mark.parametrize("classes", [2, 3])
def test_an_exported_classifier_is_the_fitted_one(name: str, classes: int, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="export needs the extra [train]")
    from ionmorphnet.tumor.feature_networks import FeatureRecipe, make_feature_network

    values, label, groups = _three_classes(rng)
    fitted = FittedBaseline(name, values, np.minimum(label, classes - 1), groups, seed=0, threads=1)
    arrays = fitted.exported()
    centres = 0 if arrays.centres is None else len(arrays.centres)
    network = make_feature_network(FeatureRecipe(name, 6, classes, "", centres), arrays)
    with torch.no_grad():
        logits = network(torch.from_numpy(values)[..., None, None], torch.ones(600, 1, 1)).numpy()
    np.testing.assert_allclose(logits, fitted.logits(values), atol=2e-3)


def test_trees_are_not_saved(rng: np.random.Generator, tmp_path: Path) -> None:
    values, label, groups = _three_classes(rng)
    with pytest.raises(ArgumentError, match="gradient boosting can be evaluated, but not saved"):
        FittedBaseline("boosting", values, label, groups, seed=0, threads=1).exported()
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path, patients=2), labels=LABELS)
    for name in ("boosting-meanstd", "cnn1d", "magic"):
        with pytest.raises(ArgumentError, match=f"method must be one of lda, .*cnn3d, not '{name}'"):
            imn.tumor.train_tumor(tmp_path / "run", cohort, method=name)
    assert set(MODEL_METHODS) < set(imn.tumor.METHODS)
    assert len(BASELINES) == 24
    assert parse_method("svm-meanstd") == ("svm", "-meanstd")


def test_many_channels_thin_the_training_pixels() -> None:
    assert most_pixels("lda-meanstd", 40) == most_pixels("lda", 1000) == 40_000
    assert most_pixels("lda-meanstd", 2000) == 10_000
    assert most_pixels("svm", 40) == 20_000


@pytest.mark.parametrize("method", ["lda-meanstd", "rbf-mean", "pls-texture"])
def test_a_classifier_of_local_features_is_a_model(method: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    from ionmorphnet.tumor.feature_networks import FeatureRecipe
    from ionmorphnet.tumor.torch_inference import torch_forward

    cohort = imn.tumor.read_cohort(write_cohort(tmp_path / "cohort"), labels=LABELS)
    given = {"channels": MZ, "ppm": 20, "threads": 1, "method": method}
    trained = imn.tumor.train_tumor(tmp_path / "run", cohort, **given)
    assert trained.chosen["inner_auc"] > 0.9
    assert trained.validated_on is None
    config = json.loads((trained.model.folder / "config.json").read_text())
    assert config["recipe"]["network"] == method
    side = FEATURES[parse_method(method)[1]].side
    assert (config["standardize"], config["size"]) == ("z", side)
    assert config["cost"]["parameters"] > 0
    section = tmp_path / "new.imzML"
    write_section(section, np.random.default_rng(3))
    found = imn.tumor.predict(trained.model, section, device="cpu", threads=1)
    judged = (regions() > 0) & found.measured
    assert np.mean(found.labels[judged] == regions()[judged].astype(int) - 1) > 0.9
    rng = np.random.default_rng(0)
    mask = (rng.random((6, side, side)) < 0.8).astype(np.uint8)
    mask[:, side // 2, side // 2] = 1
    patches = rng.standard_normal((6, 20, side, side)).astype(np.float32) * mask[:, None]
    expected = torch_forward(trained.model, Device.parse("cpu"))(patches, mask)
    np.testing.assert_allclose(start_network(trained.model, "cpu", 1)(patches, mask), expected, atol=1e-3)
    for by in ("permutation", "gradients"):
        table = imn.tumor.explain(trained.model, cohort, method=by, pixels=400, device="cpu")
        assert table["mz"].iloc[0] == pytest.approx(MZ[3]), by
        assert np.isfinite(table["importance"]).all()
        if (method, by) == ("lda-meanstd", "permutation"):
            assert table["mz"].iloc[1] == pytest.approx(MZ[5])  # the texture
            assert table["importance"].iloc[2:].abs().max() < 0.3 * table["importance"].iloc[1]
    trained_recipe = config["recipe"]
    with pytest.raises(ArgumentError, match="components do not suit the features"):
        FeatureRecipe.from_dict({**trained_recipe, "components": trained_recipe["components"] + 1})
    path = trained.model.folder / "config.json"
    path.write_text(json.dumps({**config, "recipe": {**config["recipe"], "colour": 1}}))
    with pytest.raises(FileError, match=r"invalid recipe .*unknown recipe entries: colour"):
        torch_forward(imn.tumor.load_tumor_model(path.parent), Device.parse("cpu"))


def test_a_1d_network_of_local_features(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="networks need the extra [train]")
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path / "cohort", patients=3), labels=LABELS)
    plan = imn.tumor.EvaluationPlan(
        selections=("all",), methods=("cnn1d", "cnn1d-meanstd"), steps=60, recipe={"batch": 32, "width": 4}, threads=1
    )
    report = imn.tumor.evaluate_cohort(tmp_path / "out", cohort, plan, options=BootstrapOptions(20), device="cpu")
    area = report.table.set_index("method")["auc"]
    assert area["cnn1d-meanstd"] > max(0.9, area["cnn1d"])


def test_anova_finds_the_channel_of_the_classes_within_the_training(tmp_path: Path) -> None:
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path, patients=3), labels=LABELS)
    axis = imn.CandidateAxis.from_mz_list(MZ, ppm=20)
    scores = section_scores(cohort, axis, ["anova"])
    with imn.open(cohort.sections[0].path) as ds:
        image = np.sqrt(ds.window_images(axis.mz_lo[3:4], axis.mz_hi[3:4])[0])
        labels = np.where(ds.mask, cohort.labels(cohort.sections[0], ds.shape), -1)
    a, b = image[labels == 0], image[labels == 1]
    n = len(a) + len(b)
    between = len(a) * len(b) / n * (a.mean() - b.mean()) ** 2
    within = (len(a) * a.var() + len(b) * b.var()) / (n - 2)
    assert scores[0]["anova"][3] == pytest.approx(between / within, rel=1e-4)
    assert select(scores, "anova", 1, 20).tolist() == [3]
    # A section of one class has nothing to say; without any other, the selection is refused.
    one = [scores[0].assign(anova=np.nan), scores[1]]
    assert select(one, "anova", 1, 20).tolist() == [3]
    with pytest.raises(ArgumentError, match="by anova: no training section has two classes"):
        select(one[:1], "anova", 1, 20)
