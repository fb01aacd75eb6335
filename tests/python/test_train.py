"""``imn.train`` and ``ionmorphnet train``: from options to weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, Cancelled, FileError, UnavailableError
from ionmorphnet.training import train_model
from ionmorphnet.training.options import TrainKeywords

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from ionmorphnet.labelled.joined_source import JoinedSource  # noqa: E402
from ionmorphnet.labelled.read_source import read_source  # noqa: E402
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2  # noqa: E402
from ionmorphnet.training.networks import make_network  # noqa: E402
from ionmorphnet.training.recipe import Recipe  # noqa: E402
from ionmorphnet.training.start_weights import read_start  # noqa: E402
from training_sources import DiscsAndNoise  # noqa: E402

TINY: dict[str, Any] = {"size": 32, "batch": 8, "compile": False, "workers": 0, "threads": 1, "precision": "f32"}


def _load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> imn.training.train_model.TrainedModel:
    """A training on sixteen simulated images."""
    seen: list[tuple[int, int]] = []
    out = tmp_path_factory.mktemp("train") / "new" / "run"
    done = imn.train(out, images=16, progress=lambda n, total: seen.append((n, total)), **TINY)
    assert seen == [(8, 16), (16, 16)]
    return done


def test_simulated_images(trained: Any) -> None:
    assert (trained.steps, trained.images_seen, trained.validation, trained.stopped_early) == (2, 16, None, False)
    assert "convnextv2_atto, 16 images" in repr(trained)
    content = _load(trained.weights)
    assert content["provenance"]["data"]["kind"] == "simulated"
    assert content["recipe"]["seed"] == 20_260_419
    again = imn.train(trained.folder, images=16, **TINY)
    assert again.steps == 2
    with pytest.raises(ArgumentError, match="resume it or choose another folder"):
        imn.train(trained.folder, images=16, resume=False, **TINY)
    with pytest.raises(ArgumentError, match="another recipe"):
        imn.train(trained.folder, images=24, **TINY)


def test_fine_tuning_with_labels_and_held_out_datasets(trained: Any, tmp_path: Path) -> None:
    source = DiscsAndNoise(40, datasets=4)
    tuned = imn.train(tmp_path, source=source, init=trained.weights, images=64, patience=5, **TINY)
    recipe = tuned.recipe
    assert recipe.learning_rate == 2e-4
    assert recipe.augmentation == "mild"
    assert recipe.start.startswith("weights.pt ")
    provenance = _load(tuned.weights)["provenance"]
    parts = provenance["data"]["parts"]
    assert [part["kind"] for part in parts] == ["discs", "simulated"]
    assert parts[0]["images"] == 30
    assert provenance["validation"]["data"] == {"kind": "discs", "images": 10}
    assert tuned.validation is not None
    assert 0.0 <= tuned.validation["accuracy"] <= 1.0
    # The training started from the given weights.
    before, after = _load(trained.weights)["weights"], _load(tuned.weights)["weights"]
    kernel = "stem.0.weight"
    assert 0 < float((after[kernel] - before[kernel]).abs().max()) < 0.2 * float(before[kernel].abs().max())


def test_published_preset(tmp_path: Path) -> None:
    source = DiscsAndNoise(12, datasets=2, structure_known=False)
    done = imn.train(
        tmp_path, source=[source, source], preset="published", architecture="convnextv2_atto", epochs=2, **TINY
    )
    recipe = done.recipe
    assert (recipe.in_chans, recipe.structure, recipe.statistics, recipe.ranking_weight) == (1, False, (), 0.0)
    assert (recipe.weight_dropout, recipe.ema_decay, recipe.class_balance) == (0.05, 0.0, True)
    assert done.images_seen == 24  # two passes over the 12 images of one dataset; the other is held out
    content = _load(done.weights)
    assert content["preprocessing"] == "p99-stretch-32"
    assert content["provenance"]["data"]["parts"][0]["kind"] == "joined"
    assert len(content["provenance"]["data"]["parts"]) == 1  # no simulated images


def _npz(path: Path, *more: str) -> Path:
    """Write eight alternately structured and unstructured images with labels, and ``more`` lines of the label file.

    The images depend on the name of the file.
    """
    unit = 1.0 + sum(path.stem.encode())
    np.savez(path, images=np.stack([unit * DiscsAndNoise(8)[k].image for k in range(8)]))
    rows = [f"{k},{('structured', 'unstructured')[k % 2]}" for k in range(8)]
    path.with_name(f"{path.stem}_labels.csv").write_text("\n".join(["index,label", *rows, *more]) + "\n")
    return path


def test_labelled_images_from_a_file(tmp_path: Path) -> None:
    done = imn.train(tmp_path / "run", source=_npz(tmp_path / "mine.npz"), images=8, **TINY)
    assert _load(done.weights)["provenance"]["data"]["parts"][0]["images"] == 8


def test_a_training_resumes_only_on_the_same_data(tmp_path: Path) -> None:
    sources = [_npz(tmp_path / f"{name}.npz") for name in ("a", "b")]
    out = tmp_path / "run"
    given: dict[str, Any] = {"source": sources, "val_datasets": ["a"], "simulated_share": 0.25, "images": 16, **TINY}
    first = imn.train(out, **given)
    weights = first.weights.read_bytes()
    assert imn.train(out, **given).steps == 2
    with pytest.raises(ArgumentError, match=r"last\.pt: belongs to a training on other data \(training images differ"):
        imn.train(out, **given | {"simulated_share": 0.5})
    with pytest.raises(ArgumentError, match="training images and validation images differ"):
        imn.train(out, **given | {"val_datasets": ["b"]})
    csv = tmp_path / "a_labels.csv"
    csv.write_text(csv.read_text().replace("0,structured", "0,localized"))
    with pytest.raises(ArgumentError, match=r"other data \(validation images differ"):
        imn.train(out, **given)
    csv.write_text(csv.read_text().replace("0,localized", "0,structured"))
    images = dict(np.load(tmp_path / "b.npz"))["images"]
    images[3, 5, 5] += 1.0
    np.savez(tmp_path / "b.npz", images=images)
    with pytest.raises(ArgumentError, match=r"other data \(training images differ"):
        imn.train(out, **given)
    assert first.weights.read_bytes() == weights


def test_custom_sources_are_recognised(tmp_path: Path) -> None:
    out, given = tmp_path / "run", {"images": 8, **TINY}
    imn.train(out, source=DiscsAndNoise(40), **given)
    assert imn.train(out, source=DiscsAndNoise(40), **given).steps == 1
    with pytest.raises(ArgumentError, match="other data"):
        imn.train(out, source=DiscsAndNoise(42), **given)


def test_a_state_without_fingerprints_is_refused(tmp_path: Path) -> None:
    imn.train(tmp_path, images=8, **TINY)
    content = _load(tmp_path / "last.pt")
    assert set(content.pop("data")) == {"training images"}
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(FileError, match=r"last\.pt: not a file of a training \('data' is missing\)"):
        imn.train(tmp_path, images=8, **TINY)


@pytest.mark.parametrize("way", ["auto", "val_datasets", "validation"])
def test_an_image_in_training_and_validation_is_refused(tmp_path: Path, way: str) -> None:
    path = _npz(tmp_path / "a.npz")
    for name in ("a.npz", "a_labels.csv"):
        (tmp_path / name.replace("a", "copy", 1)).write_bytes((tmp_path / name).read_bytes())
    both = [path, tmp_path / "copy.npz"]
    options: dict[str, Any] = {
        "auto": {"source": both},
        "val_datasets": {"source": both, "val_datasets": ["copy"]},
        "validation": {"source": path, "validation": read_source(both[1])},
    }[way]
    with pytest.raises(
        ArgumentError, match=r"image \d of '(a|copy)', held out for validation, equals training image \d of '(a|copy)'"
    ):
        imn.train(tmp_path / "run", images=8, **options, **TINY)
    # Images with very few nonzero pixels may be equal by chance.
    images = np.zeros((8, 16, 16), np.float32)
    images[:, 3, 4] = 1.0
    for file in both:
        np.savez(file, images=images)
    imn.train(tmp_path / "run", source=both, images=8, **TINY)


def test_epochs_are_passes_over_the_labelled_images(tmp_path: Path) -> None:
    done = imn.train(tmp_path / "half", source=DiscsAndNoise(16), epochs=2, **TINY)
    assert done.images_seen == 64
    done = imn.train(tmp_path / "quarter", source=DiscsAndNoise(16), epochs=2, simulated_share=0.2, **TINY)
    assert done.images_seen == 40
    done = imn.train(tmp_path / "none", source=DiscsAndNoise(16), epochs=2, simulated_share=0.0, **TINY)
    assert done.images_seen == 32


@pytest.mark.parametrize("way", ["val_datasets", "split"])
def test_requested_splits(tmp_path: Path, way: str) -> None:
    sources = [_npz(tmp_path / f"{name}.npz") for name in ("a", "b", "c")]
    if way == "split":
        (tmp_path / "split.json").write_text('{"train": ["c"], "val": ["b"], "test": ["a"]}')
        options: dict[str, Any] = {"split": tmp_path / "split.json"}
    else:
        options = {"val_datasets": ["b"]}
    done = imn.train(tmp_path / "run", source=sources, simulated_share=0, images=8, **options, **TINY)
    provenance = _load(done.weights)["provenance"]
    (trained,) = provenance["data"]["parts"]
    # A joined source with one part has the description of that part.
    named = [part["datasets"] for part in trained.get("parts", [trained])]
    assert named == ([{"c": 8}] if way == "split" else [{"a": 8}, {"c": 8}])
    assert provenance["validation"]["data"]["datasets"] == {"b": 8}
    assert done.validation is not None


def test_simulated_images_mixed_with_labelled_ones(tmp_path: Path) -> None:
    sources = ["simulated", DiscsAndNoise(8)]
    done = imn.train(tmp_path, source=sources, preset="published", architecture="convnextv2_atto", images=8, **TINY)
    shares = [(part["kind"], part["share"]) for part in _load(done.weights)["provenance"]["data"]["parts"]]
    assert shares == [("discs", 0.5), ("simulated", 0.5)]


def test_joined_sources() -> None:
    joined = JoinedSource([DiscsAndNoise(4), DiscsAndNoise(6, datasets=3)])
    assert len(joined) == 10
    assert joined.dataset_ids == ("d0", "d1", "d2")
    np.testing.assert_array_equal(joined[5].image, DiscsAndNoise(6)[1].image)
    assert joined.targets().shape == (10, 6)
    assert len(joined.select(["d0"])) == 6
    with pytest.raises(ArgumentError, match="unknown dataset other"):
        joined.select(["other"])
    with pytest.raises(IndexError):
        joined[10]


def test_start_weights_by_name_and_folder(trained: Any) -> None:
    assert train_model._start_path(trained.folder) == trained.weights
    name = imn.bundled_models()[0]
    assert train_model._start_path(name) == imn.load_model(name).folder


def test_start_weights_get_the_channels_that_the_recipe_adds(trained: Any, rng: np.random.Generator) -> None:
    """New channels have no weight at first, so the outputs are those of the start weights; resizing is antialiased."""
    weights = _load(trained.weights)["weights"]
    wider = replace(trained.recipe, resize="area", sqrt=True, sample=True)
    start = read_start(trained.weights, wider, architecture=None)
    assert start.recipe.preprocessing.channels == ("image", "mask", "sqrt", "sample")
    assert start.recipe.resize == "area"
    stem = start.weights["stem.0.weight"]
    torch.testing.assert_close(stem[:, :2], weights["stem.0.weight"])
    assert float(stem[:, 2:].abs().max()) == 0.0
    images = torch.from_numpy(rng.random((2, 4, 64, 64), dtype=np.float32))
    outputs = []
    for recipe, state, given in ((trained.recipe, weights, images[:, :2]), (start.recipe, start.weights, images)):
        network = make_network(recipe).eval()
        network.load_state_dict(state)
        outputs.append(network(given, torch.zeros(2, len(recipe.statistics))))
    torch.testing.assert_close(*outputs)
    # What the weights have is kept: the recipe's default does not take it away.
    assert read_start(trained.weights, Recipe(mask=False), architecture=None).recipe.mask
    bundled = read_start(imn.load_model().folder, Recipe(sample=True), architecture=None)
    assert bundled.recipe.preprocessing.channels[-1] == "sample"
    assert bundled.weights["stem.0.weight"].shape[1] == bundled.recipe.in_chans


def test_weights_of_a_colour_backbone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    colour = ConvNeXtV2("convnextv2_atto", in_chans=3, num_classes=10)
    torch.save(colour.state_dict(), tmp_path / "imagenet.pth")
    start = read_start(tmp_path / "imagenet.pth", Recipe(), architecture=None)
    stem = start.weights["stem.0.weight"]
    torch.testing.assert_close(stem[:, 0], colour.stem[0].weight.detach().sum(dim=1))
    assert float(stem[:, 1].abs().max()) == 0.0
    assert not any(name.startswith("head.fc") for name in start.weights)
    assert start.recipe.start.startswith("imagenet.pth ")
    with pytest.raises(FileError, match=r"imagenet\.pth: does not fit convnextv2_pico: wrong shape of"):
        read_start(tmp_path / "imagenet.pth", Recipe(architecture="convnextv2_pico"), architecture=None)


def test_the_published_preset_leaves_a_structure_output_alone(
    trained: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    imn.train(tmp_path, source=DiscsAndNoise(8), init=trained.weights, preset="published", images=8, **TINY)
    assert "which the preset 'published' does not train" in caplog.text


def test_start_weights_that_do_not_fit(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.pt: no such file"):
        imn.train(tmp_path / "a", init=tmp_path / "none.pt", images=8, **TINY)
    with pytest.raises(FileError, match=r"none: no such file, folder or bundled model \(bundled: atto"):
        imn.train(tmp_path / "a", init="none", images=8, **TINY)
    with pytest.raises(ArgumentError, match="holds weights of convnextv2_atto, not of convnextv2_nano"):
        imn.train(tmp_path / "a", init=trained.weights, architecture="convnextv2_nano", images=8, **TINY)
    content = _load(trained.weights)
    del content["weights"]["head.norm.weight"]
    torch.save(content, tmp_path / "cut.pt")
    with pytest.raises(FileError, match=r"cut\.pt: does not fit .*missing head\.norm\.weight"):
        imn.train(tmp_path / "a", init=tmp_path / "cut.pt", images=8, **TINY)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"preset": "best"}, ArgumentError, "default, published"),
        ({"images": 8, "epochs": 1}, ArgumentError, "images and epochs exclude each other"),
        ({"images": "8"}, ArgumentError, "images must be an integer, got '8'"),
        ({"images": 2.5}, ArgumentError, "images must be an integer"),
        ({"images": 8, "batch": 4.0}, ArgumentError, "batch must be an integer"),
        ({"images": 8, "threads": -1}, ArgumentError, "threads must be 0 \\(all\\) or more"),
        ({"images": 8, "workers": -1}, ArgumentError, "workers must be at least 0"),
        ({"images": 8, "learning_rate": float("nan")}, ArgumentError, "learning_rate must be a number"),
        ({"source": DiscsAndNoise(8), "epochs": float("nan")}, ArgumentError, "epochs must be a number"),
        ({"images": 8, "learning_rate": 0}, ArgumentError, "learning_rate must be a number above 0, got 0"),
        (
            {"images": 8, "labels": "labels"},
            ArgumentError,
            "labels applies only to file sources; pass an imzML or npz path",
        ),
        ({"source": DiscsAndNoise(8), "ppm": 5.0}, ArgumentError, "ppm applies only to file sources"),
        ({"images": 8, "simulated_share": 0.2}, ArgumentError, "simulated_share applies only to labelled images"),
        ({"source": DiscsAndNoise(8), "simulated_share": 1.0}, ArgumentError, "from 0 to below 1, got 1.0"),
        ({"images": 8, "seed": 77_003_001}, ArgumentError, "reserved for the images that calibrate models"),
        ({"epochs": 1}, ArgumentError, "epochs applies only to labelled images"),
        ({"images": 8, "size": 40}, ArgumentError, "multiple of 16 from 32"),
        ({"images": 8, "batch": 3}, ArgumentError, "multiple of 2"),
        ({"images": 8, "patience": 1}, ArgumentError, "patience requires validation images"),
        ({"images": 8, "validation": "some"}, ArgumentError, "'auto', 'none' or a source"),
        ({"val_datasets": ["d0"]}, ArgumentError, "val_datasets applies only to labelled images"),
        ({"source": DiscsAndNoise(8), "val_datasets": "d0"}, ArgumentError, "a list with at least one"),
        ({"source": DiscsAndNoise(8), "val_datasets": ["d0"]}, ArgumentError, "no dataset is left"),
        ({"source": DiscsAndNoise(8, 2), "val_datasets": ["x"]}, ArgumentError, "unknown datasets: x; known: d0, d1"),
        (
            {"source": DiscsAndNoise(8, 2), "val_datasets": ["d0"], "split": "s.json"},
            ArgumentError,
            "exclude each other",
        ),
        ({"source": DiscsAndNoise(8, 2), "split": "s.json", "validation": "none"}, ArgumentError, "leave validation"),
        ({"source": DiscsAndNoise(8, 2), "split": "nowhere.json"}, FileError, "nowhere.json: No such file"),
        ({"images": 8, "architecture": "vgg"}, (ArgumentError, UnavailableError), "vgg"),
        ({"images": 8, "device": "tpu"}, ArgumentError, "unknown device 'tpu'"),
        ({"images": 8, "device": "cuda:99"}, UnavailableError, "CUDA devices"),
        ({"source": "nowhere.imzML"}, FileError, "nowhere.imzML"),
        ({"source": []}, ArgumentError, "source is empty"),
        ({"source": 3}, ArgumentError, "not int"),
        ({"source": DiscsAndNoise(0)}, ArgumentError, "the source has no images"),
    ],
)
def test_invalid_options(tmp_path: Path, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        imn.train(tmp_path / "run", **(TINY | options))
    assert not (tmp_path / "run" / "last.pt").exists()


def test_keywords_are_the_fields_of_the_options() -> None:
    keywords = {name: kind.__forward_arg__ for name, kind in TrainKeywords.__annotations__.items()}
    assert keywords == {field.name: field.type for field in fields(imn.TrainOptions)}


def test_options_are_checked_on_construction() -> None:
    assert imn.TrainOptions().threads == 0
    with pytest.raises(ArgumentError, match="batch must be at least 2, got 1"):
        imn.TrainOptions(batch=1)
    with pytest.raises(FrozenInstanceError):
        imn.TrainOptions().batch = 4  # type: ignore[misc]


def test_an_options_object_is_equivalent_to_keywords(trained: Any, tmp_path: Path) -> None:
    options = imn.TrainOptions(images=24, **TINY)
    done = imn.train(tmp_path, options, images=16)
    assert done.recipe == trained.recipe
    before, after = _load(trained.weights)["weights"], _load(done.weights)["weights"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_without_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    with pytest.raises(UnavailableError, match=r"pip install 'ionmorphnet\[train\]'"):
        train_model.train(tmp_path / "run", images=8)


def test_command(cli: Callable[..., Any], tmp_path: Path) -> None:
    options = ["--size", 32, "--batch", 8, "--no-compile", "--workers", 0, "--threads", 1, "--precision", "f32"]
    done = cli("train", tmp_path / "run", "--images", 16, *options)
    assert done.code == 0
    assert done.stdout.splitlines()[0].startswith("convnextv2_atto: 16 images in ")
    assert str(tmp_path / "run" / "weights.pt") in done.stdout
    assert done.stderr == ""
    cli("train", tmp_path / "run", "--images", 24, *options).is_one_line_error("last.pt", "another recipe")
    (tmp_path / "file").write_text("")
    cli("train", tmp_path / "file" / "run", "--images", 8).is_one_line_error("file/run", "the folder cannot be made")
    cli("train", tmp_path / "file", "--images", 8).is_one_line_error("file", "choose a folder")


def test_a_stopped_command_has_its_own_exit_code(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise Cancelled("stopped at step 3 of 9; run is saved")

    monkeypatch.setattr(imn, "train", stopped)
    done = cli("train", tmp_path / "run")
    assert done.code == 130
    assert done.stderr == "ionmorphnet: stopped at step 3 of 9; run is saved\n"


def test_command_with_labels(cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [_npz(tmp_path / "a.npz", "99,structured", "3,striped"), _npz(tmp_path / "b.npz")]
    given = [part for path in sources for part in ("--source", path)]
    options = ["--size", 32, "--batch", 8, "--workers", 0, "--threads", 1, "--images", 8, "--val-datasets", "b"]
    done = cli("train", tmp_path / "run", *given, *options)
    assert done.code == 0, done.stderr
    assert "validation at step 1: loss" in done.stdout
    # Skipped rows are reported with file and line.
    assert "warning: left out: " in done.stderr
    assert "a_labels.csv: line 10: there is no image 99" in done.stderr
    assert "a_labels.csv: line 11" in done.stderr
    assert "striped" in done.stderr
    refused = cli("train", tmp_path / "new", *given[2:], *options[:-1], "x")
    refused.is_one_line_error("names unknown datasets: x; known: b")
    # Only the first of several processes reports.
    monkeypatch.setenv("RANK", "1")
    done = cli("train", tmp_path / "run", *given, *options)
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
