from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

import ionmorphnet as imn  # noqa: E402
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError  # noqa: E402
from ionmorphnet.models.model import softmax  # noqa: E402
from ionmorphnet.training.run_state import load_file  # noqa: E402
from ionmorphnet.tumor import training_loop  # noqa: E402
from ionmorphnet.tumor.augment import augment  # noqa: E402
from ionmorphnet.tumor.cubes import Cube, open_cubes  # noqa: E402
from ionmorphnet.tumor.networks import PatchNet, cost, make_patch_network  # noqa: E402
from ionmorphnet.tumor.patches import Neighbourhood, Scaling, extract, labelled_pixels, neighbourhoods  # noqa: E402
from ionmorphnet.tumor.recipe import PatchRecipe  # noqa: E402
from ionmorphnet.tumor.training_loop import (  # noqa: E402
    FitResult,
    PatchData,
    PatchExecution,
    fit_patches,
    read_patch_weights,
    validation_metrics,
)
from ionmorphnet.tumor.training_setup import prepare_fit  # noqa: E402
from tumor_cohorts import LABELS, MZ, write_cohort  # noqa: E402

HERE = PatchExecution(torch.device("cpu"), threads=1, every=4, log_steps=4, save_seconds=0.0)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def cubes(listed: Path) -> Iterator[list[Cube]]:
    with open_cubes(imn.tumor.read_cohort(listed, labels=LABELS), imn.CandidateAxis.from_mz_list(MZ, ppm=20)) as found:
        yield found


@pytest.fixture(scope="module")
def data(cubes: list[Cube]) -> PatchData:
    training = labelled_pixels(cubes, [0, 1])
    return PatchData(cubes, training, labelled_pixels(cubes, [2]), Scaling.of(cubes, training, np.arange(20)))


def _recipe(data: PatchData, **changes: Any) -> PatchRecipe:
    given = {"steps": 12, "batch": 16, "size": 5, "width": 4, "data": data.fingerprint(), **changes}
    return PatchRecipe(network="cnn3d", channels=20, classes=2, **given)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("size", [1, 3, 5, 7, 11])
@pytest.mark.parametrize("channels", [1, 5, 20, 333])
def test_networks_of_any_size(channels: int, size: int) -> None:
    network = PatchNet(channels, 3, size, width=4).eval()
    logits = network(torch.rand(2, channels, size, size), torch.ones(2, size, size))
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    found = cost(network, size)
    assert found["parameters"] == sum(p.numel() for p in network.parameters())
    assert found["multiply_adds"] > 0


def test_cost_grows_mildly_and_2000_channels_work() -> None:
    few, many = (cost(PatchNet(n, 2, 7), 7) for n in (20, 2000))
    assert few["parameters"] < 40_000
    assert many["parameters"] < 400_000
    assert PatchNet(2000, 2, 7).eval()(torch.rand(1, 2000, 7, 7), torch.ones(1, 7, 7)).shape == (1, 2)


def test_the_network_tells_channels_apart() -> None:
    """Without weights of its own for each channel, pooling would forget which one is bright."""
    torch.manual_seed(0)
    network = PatchNet(40, 2, 3, width=4).eval()
    one, other = torch.zeros(1, 40, 3, 3), torch.zeros(1, 40, 3, 3)
    one[:, 17], other[:, 21] = 1.0, 1.0  # at the same place of the strides
    mask = torch.ones(1, 3, 3)
    assert (network(one, mask) - network(other, mask)).abs().max() > 1e-4
    assert (network(one, mask) - network(one, 0 * mask)).abs().max() > 1e-4


def test_the_network_starts_as_the_best_linear_classifier(cubes: list[Cube], data: PatchData, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the start needs the extra [tumor]")
    given = {"classes": 2, "size": 5, "steps": 8, "seed": 0, "device": "cpu", "threads": 1}
    ready = prepare_fit("cnn3d", cubes, data.training, data.validation, np.arange(20), **given)
    weight, bias = ready.data.start
    network = make_patch_network(ready.recipe).eval()
    network.start_with(weight, bias)
    test = labelled_pixels(cubes, [3])
    features = neighbourhoods(cubes, test, ready.data.scaling, Neighbourhood(5, 5, spread=True))
    patches, mask = extract(cubes, test, 5, ready.data.scaling)
    with torch.no_grad():
        found = network(torch.from_numpy(patches), torch.from_numpy(mask).float()).numpy()
    np.testing.assert_allclose(found, features @ weight.T + bias, atol=1e-3)
    right = found.argmax(axis=1) == test.label
    assert np.mean([right[test.label == k].mean() for k in (0, 1)]) > 0.9
    # The start is validated as well: convolutions that make it worse do not count.
    worse = replace(ready, recipe=replace(ready.recipe, learning_rate=3.0, warmup=0.0))
    done = worse.run(tmp_path)
    assert done.best["step"] == 0
    np.testing.assert_allclose(worse.predict(tmp_path, test), softmax(found), atol=1e-4)


def test_augmentation_keeps_patch_and_mask_together(data: PatchData) -> None:
    recipe = _recipe(data, gain_jitter=0.0, channel_jitter=0.0, noise=0.0, channel_dropout=0.0)
    mask = (torch.rand(64, 5, 5, generator=torch.Generator().manual_seed(1)) < 0.7).float()
    patches = mask[:, None] * torch.arange(1.0, 26.0).view(5, 5)
    turned, moved = augment(patches, mask, torch.zeros(1), recipe, torch.Generator().manual_seed(0))
    assert torch.equal((turned[:, 0] != 0).float(), moved)
    assert torch.equal(turned.flatten(1).sort().values, patches.flatten(1).sort().values)
    assert len({tuple(t.flatten().tolist()) for t in turned[:, 0]}) > 8
    none = replace(recipe, flips=False)
    assert torch.equal(augment(patches, mask, torch.zeros(1), none, torch.Generator())[0], patches)


def test_a_gain_acts_on_intensities(data: PatchData) -> None:
    recipe = _recipe(data, flips=False, gain_jitter=0.3, channel_jitter=0.0, noise=0.0, channel_dropout=0.0)
    level = torch.tensor([4.0, 9.0])
    values = torch.rand(8, 2, 3, 3) + 1.0  # roots of intensities over deviations
    mask = torch.ones(8, 3, 3)
    mask[:, 0, 0] = 0.0
    given = (values - level[:, None, None]) * mask[:, None]
    changed, _ = augment(given, mask, level, recipe, torch.Generator().manual_seed(0))
    ratio = ((changed + level[:, None, None]) / values)[:, :, 1:]
    assert torch.allclose(ratio, ratio[:, :1, :1, :1].expand_as(ratio), atol=1e-5)
    assert ratio.std() > 0.05
    assert (changed[:, :, 0, 0] == 0).all()


def test_channels_are_dropped(data: PatchData) -> None:
    recipe = _recipe(data, flips=False, gain_jitter=0.0, channel_jitter=0.0, noise=0.0, channel_dropout=0.25)
    changed, _ = augment(torch.ones(64, 50, 1, 1), torch.ones(64, 1, 1), torch.zeros(50), recipe, torch.Generator())
    assert float((changed == 0).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_batches_are_balanced(data: PatchData) -> None:
    skewed = data.training[np.flatnonzero((data.training.label == 0) | (data.training.pixel % 9 == 0))]
    drawer = training_loop._Drawer(skewed, _recipe(data, batch=200))
    chosen = skewed[drawer.draw(0)]
    assert np.bincount(chosen.label).tolist() == [100, 100]
    assert np.bincount(chosen.section, minlength=2).min() > 70
    np.testing.assert_array_equal(drawer.draw(3), drawer.draw(3))
    assert (drawer.draw(3) != drawer.draw(4)).any()


@pytest.fixture(scope="module")
def trained(data: PatchData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FitResult]:
    out = tmp_path_factory.mktemp("whole")
    return out, fit_patches(_recipe(data, steps=60, batch=32, ema_decay=0.9), out, data, HERE)


def test_it_learns(trained: tuple[Path, FitResult], data: PatchData, cubes: list[Cube]) -> None:
    out, done = trained
    assert done.best["balanced_accuracy"] > 0.85
    recipe, network = read_patch_weights(out)
    test = labelled_pixels(cubes, [3])
    found = training_loop.predict_pixels(network, recipe, cubes, test, data.scaling, torch.device("cpu"), 1)
    assert found.shape == (len(test), 2)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert validation_metrics(found, test.label)["balanced_accuracy"] > 0.85
    rows = _rows(out / "log.csv")
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert _rows(out / "validation.csv")[-1].keys() == {"step", "loss", "balanced_accuracy", "best"}


def test_the_same_seed_gives_the_same_weights(data: PatchData, tmp_path: Path) -> None:
    recipe = _recipe(data)
    for name in ("a", "b"):
        fit_patches(recipe, tmp_path / name, data, HERE)
    fit_patches(replace(recipe, seed=1), tmp_path / "c", data, HERE)
    a, b, c = (load_file(tmp_path / n / "weights.pt", "weights")["weights"] for n in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


SCRIPT = """
import sys, torch
from pathlib import Path
sys.path[:0] = [{tests!r}, {here!r}]
from test_tumor_training import HERE, LABELS, MZ, _recipe
import ionmorphnet as imn, numpy as np
from ionmorphnet.tumor.cubes import open_cubes
from ionmorphnet.tumor.training_loop import PatchData, fit_patches
from ionmorphnet.tumor.patches import Scaling, labelled_pixels
with open_cubes(imn.tumor.read_cohort({listed!r}, labels=LABELS), imn.CandidateAxis.from_mz_list(MZ, ppm=20)) as cubes:
    t = labelled_pixels(cubes, [0, 1])
    data = PatchData(cubes, t, labelled_pixels(cubes, [2]), Scaling.of(cubes, t, np.arange(20)))
    fit_patches(_recipe(data, steps=24), Path(sys.argv[1]), data, HERE)
"""


@pytest.fixture(scope="module")
def whole(data: PatchData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FitResult]:
    """The training of ``SCRIPT``, in this process."""
    out = tmp_path_factory.mktemp("uninterrupted")
    return out, fit_patches(_recipe(data, steps=24), out, data, HERE)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_training_goes_on_to_the_same_weights(
    data: PatchData, listed: Path, whole: tuple[Path, FitResult], tmp_path: Path, number: int
) -> None:
    here = Path(__file__).resolve().parent
    script = SCRIPT.format(tests=str(here.parent), here=str(here), listed=str(listed))
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 120
        log = tmp_path / "run" / "log.csv"
        while not (log.is_file() and len(_rows(log)) >= 2):
            assert process.poll() is None, "ended too early"
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert (number == signal.SIGTERM) == (b"stopped at step" in errors)
    stopped = load_file(tmp_path / "run" / "last.pt", "step")["step"]
    assert 7 <= stopped < 24
    done = fit_patches(_recipe(data, steps=24), tmp_path / "run", data, HERE)
    uninterrupted = whole[1]
    assert (done.step, done.stopped_early, done.best) == (
        uninterrupted.step,
        uninterrupted.stopped_early,
        uninterrupted.best,
    )
    folders = tmp_path / "run", whole[0]
    a, b = (load_file(folder / "weights.pt", "weights")["weights"] for folder in folders)
    assert all(torch.equal(a[name], b[name]) for name in a)
    columns = ("step", "loss", "lr")
    logs = [[[row[c] for c in columns] for row in _rows(folder / "log.csv")] for folder in folders]
    assert logs[0] == logs[1]


def test_another_recipe_or_other_data_are_refused(trained: tuple[Path, FitResult], data: PatchData) -> None:
    out, _ = trained
    with pytest.raises(ArgumentError, match=r"another recipe \(dropout = 0\.3\)"):
        fit_patches(_recipe(data, steps=60, batch=32, ema_decay=0.9, dropout=0.1), out, data, HERE)
    other = replace(data, training=data.training[:-1])
    with pytest.raises(ArgumentError, match=r"another recipe \(data = "):
        fit_patches(_recipe(other, steps=60, batch=32, ema_decay=0.9), out, other, HERE)
    with pytest.raises(FileError, match="no such file"):
        read_patch_weights(out / "nowhere")


def test_early_stopping_keeps_the_best(data: PatchData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 1.0, 2.0, 2.0, 0.5])
    monkeypatch.setattr(
        training_loop, "validation_metrics", lambda *_: {"loss": next(losses), "balanced_accuracy": 0.5}
    )
    done = fit_patches(_recipe(data, steps=40), tmp_path, data, replace(HERE, patience=2))
    assert done.stopped_early
    assert (done.step, done.best["step"]) == (16, 8)
    assert load_file(tmp_path / "weights.pt", "step")["step"] == 8


def test_a_gradient_that_is_not_finite(data: PatchData, tmp_path: Path) -> None:
    recipe = _recipe(data, learning_rate=1e30, warmup=0.0, gradient_clip=0.0)
    with pytest.raises(IonMorphNetError, match="the gradient is not finite at step"):
        fit_patches(recipe, tmp_path, data, HERE)


@pytest.mark.parametrize(
    "bad",
    [
        {"network": "vit"},
        {"size": 4},
        {"size": -1},
        {"classes": 1},
        {"steps": 0},
        {"dropout": 1.0},
        {"noise": -1.0},
        {"seed": -1},
        {"precision": "f8"},
        {"learning_rate": 0.0},
        {"network": "cnn1d", "size": 3},
    ],
)
def test_invalid_recipes(bad: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        PatchRecipe(**{"network": "cnn3d", "channels": 5, "classes": 2, **bad})
    with pytest.raises(ArgumentError, match="unknown recipe entries: colour"):
        PatchRecipe.from_dict({"colour": 1})


def test_single_spectra(data: PatchData, cubes: list[Cube], tmp_path: Path) -> None:
    ready = prepare_fit(
        "cnn1d", cubes, data.training, None, np.arange(20), classes=2, size=7, steps=6, seed=0, device="cpu", threads=1
    )
    assert (ready.recipe.size, ready.recipe.precision) == (1, "f32")
    assert ready.run(tmp_path).best is None
    assert ready.predict(tmp_path, labelled_pixels(cubes, [3])).shape[1] == 2


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_mixed_precision_trains_too(data: PatchData, tmp_path: Path, precision: str) -> None:
    fit_patches(_recipe(data, steps=4, precision=precision), tmp_path, data, HERE)
    assert all(v.dtype != torch.bfloat16 for v in load_file(tmp_path / "weights.pt", "weights")["weights"].values())
