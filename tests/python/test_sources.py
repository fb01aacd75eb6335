"""Sources of training images: simulated, mixed, arrays; the store behind them."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import ionmorphnet as imn
from ionmorphnet.labelled import sources
from ionmorphnet.labelled.image_arrays import CLASS_STRUCTURE, LabelledImages, from_npz
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.read_source import read_source
from ionmorphnet.labelled.sources import Sample, SimulatedSource, Source
from ionmorphnet.simulation.ion_image import SimulatedImage, simulate_ion_image
from ionmorphnet.training.mixture import MixedSource, fine_tuning_mix


def assert_same(a: Sample, b: Sample) -> None:
    for name, value in vars(a).items():
        np.testing.assert_array_equal(value, getattr(b, name), err_msg=name)


def check_protocol(source: Source) -> None:
    """Check the protocol of sources on each image."""
    targets = source.targets()
    assert targets is None or targets.shape == (len(source), 6)
    for k in range(len(source)):
        sample = source[k]
        assert sample.image.dtype == np.float32
        assert sample.image.ndim == 2
        np.testing.assert_array_equal(sample.mask, ~np.isnan(sample.image))
        assert sample.mask.any()
        assert sample.probabilities.dtype == np.float32
        assert sample.probabilities.shape == (6,)
        assert sample.probabilities.sum() == pytest.approx(1.0)
        assert math.isnan(sample.structure) or 0.0 <= sample.structure <= 3.0
        assert sample.dataset in source.dataset_ids
        if targets is not None:
            np.testing.assert_array_equal(sample.probabilities, targets[k])
    for outside in (-1, len(source)):
        with pytest.raises(IndexError):
            source[outside]
    assert_same(pickle.loads(pickle.dumps(source))[0], source[0])


def test_simulated_images_depend_on_seed_and_index_alone() -> None:
    source = SimulatedSource(8, seed=5, sides=(20, 60))
    check_protocol(source)
    again = SimulatedSource(100, seed=5, sides=(20, 60))
    for k in (7, 0, 3):
        assert_same(source[k], again[k])
    assert source[0].image.shape != source[1].image.shape or not np.array_equal(source[0].image, source[1].image)
    assert not np.array_equal(source[0].image, SimulatedSource(1, seed=6, sides=(20, 60))[0].image)
    assert source[0].scene == -1
    assert source.describe() == {"kind": "simulated", "images": 8, "seed": 5, "levels": 1}
    assert source.select(["simulated"]) is source
    with pytest.raises(imn.ArgumentError, match="unknown dataset other"):
        source.select(["other"])


@pytest.mark.parametrize("options", [{"n": 0, "seed": 1}, {"n": 3, "seed": -1}, {"n": 3, "seed": 1, "levels": 0}])
def test_invalid_simulated_sources(options: dict[str, int]) -> None:
    with pytest.raises(imn.ArgumentError, match="must be at least"):
        SimulatedSource(**options)


def test_scenes_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    def scene(
        rng: np.random.Generator, *, shape: tuple[int, int] | None = None, levels: int = 2
    ) -> tuple[SimulatedImage, ...]:
        nonlocal made
        made += 1
        image = simulate_ion_image(rng, shape=shape)
        soft = np.full(6, 1 / 6, dtype=np.float32)
        return tuple(replace(image, structure=3.0 / (k + 1), probabilities=soft) for k in range(levels))

    monkeypatch.setattr(sources, "simulate_scene", scene)
    source = SimulatedSource(7, seed=2, levels=2, sides=(20, 40))
    assert len(source) == 8
    samples = [source[k] for k in range(8)]
    assert made == 4
    assert [each.scene for each in samples] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [each.structure for each in samples] == [3.0, 1.5] * 4
    np.testing.assert_array_equal(samples[0].image, samples[1].image)
    assert samples[0].probabilities.tolist() == pytest.approx([1 / 6] * 6)
    assert_same(source[1], samples[1])

    other = SimulatedSource(4, seed=9, levels=2, sides=(20, 40))
    mixed = MixedSource([source, other], [1, 1], 12, seed=0, block=2)
    scenes = [mixed[k].scene for k in range(12)]
    assert scenes[::2] == scenes[1::2]
    assert len(set(scenes[::2])) == len(
        {(mixed[k].image.shape, float(np.nansum(mixed[k].image))) for k in range(0, 12, 2)}
    )


def arrays_file(folder: Path, n: int = 4, **changes: NDArray[np.generic] | str) -> Path:
    """images.npz of ``n`` images of 6 x 8 with two unmeasured pixels, and its label file."""
    rng = np.random.default_rng(0)
    mask = np.ones((6, 8), dtype=bool)
    mask[0, :2] = False
    arrays: dict[str, NDArray[np.generic]] = {
        "images": rng.random((n, 6, 8)).astype(np.float32),
        "mask": mask,
        "mz": 100.0 + np.arange(n),
    }
    labels = "index,key,label_a,label_b,structure\n"
    labels += "".join(f"{k},{100 + k}.0000,structured,{imn.CLASSES[k % 6]},{k % 4}\n" for k in range(n))
    for name, value in changes.items():
        if isinstance(value, str):
            labels = value
        else:
            arrays[name] = value
    path = folder / "images.npz"
    np.savez(path, **{name: value for name, value in arrays.items() if value.size or value.ndim})
    (folder / "images_labels.csv").write_text(labels)
    return path


def test_arrays(tmp_path: Path) -> None:
    path = arrays_file(tmp_path)
    source = from_npz(path)
    check_protocol(source)
    assert source.dataset_ids == ("images",)
    sample = source[2]
    assert sample.key == "102.0000"
    assert np.isnan(sample.image[0, :2]).all()
    np.testing.assert_array_equal(sample.image[1:], np.load(path)["images"][2, 1:])
    assert sample.probabilities.tolist() == [0.5, 0, 0.5, 0, 0, 0]
    assert [source[k].structure for k in range(4)] == [0.0, 1.0, 2.0, 3.0]
    described = source.describe()
    assert described["datasets"] == {"images": 4}
    assert described["graded"] == 4
    assert described["classes"]["structured"] == 2.5
    assert described["labels"] == {"files": 1, "rows": 4, "used": 4, "left_out": {}}
    assert from_npz(path, dataset="mouse 1").dataset_ids == ("mouse 1",)
    assert_same(read_source(path)[2], sample)
    with pytest.raises(imn.ArgumentError, match="unknown dataset x; known: images"):
        source.select(["x"])


def test_bytes_and_stacked_masks(tmp_path: Path) -> None:
    images = np.arange(96, dtype=np.uint8).reshape(2, 6, 8)
    mask = np.ones((2, 6, 8), dtype=np.uint8)
    mask[1, 5] = 0
    path = arrays_file(tmp_path, 2, images=images, mask=mask, labels="index,label\n1,negative\n0,localized\n")
    source = from_npz(path)
    assert [source[k].key for k in range(2)] == ["1", "0"]
    assert source[0].mask.sum() == 40
    assert source[1].mask.all()
    np.testing.assert_array_equal(source[1].image, images[0])
    assert math.isnan(source[0].structure)


def test_several_arrays_of_different_sizes(tmp_path: Path) -> None:
    path = tmp_path / "many.npz"
    arrays = {f"s{k}": np.full((5 + k, 7), k + 1.0, dtype=np.float32) for k in range(3)}
    arrays["s1"][0, 0] = np.nan
    np.savez(path, **arrays)
    labels = tmp_path / "l.csv"
    labels.write_text("key,label\ns2,localized\ns1,negative\nnone,negative\n")
    source = from_npz(path, labels)
    check_protocol(source)
    assert [(each.key, each.image.shape) for each in (source[0], source[1])] == [("s2", (7, 7)), ("s1", (6, 7))]
    assert source[1].mask.sum() == 41
    assert source.report.counts == {"no such image": 1}
    assert f"{labels}: line 4: no array named 'none'" == source.report.problems[0].text
    labels.write_text("index,label\n2,localized\n")
    assert from_npz(path, labels)[0].key == "s2"
    labels.write_text("index,key,label\n0,s0,localized\n1,s2,localized\n")
    assert "'s2' is image 2, but the row has index 1" in from_npz(path, labels).report.problems[0].text


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("9,,localized", "there is no image 9; the file has 4 images"),
        ("1,100.0,localized", "image 1 has m/z 101.0000, but the row has 100.0"),
        ("1,,blurry", "unknown class 'blurry'"),
    ],
)
def test_a_bad_row_is_counted_and_the_rest_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, row: str, cause: str
) -> None:
    source = from_npz(arrays_file(tmp_path, labels=f"index,key,label\n0,,localized\n{row}\n"))
    assert len(source) == 1
    assert source.report.used == 1
    assert "images_labels.csv: line 3: " in source.report.problems[0].text
    assert cause in source.report.problems[0].text
    assert cause in caplog.text


def test_images_without_values_are_counted(tmp_path: Path) -> None:
    images = np.ones((3, 6, 8), dtype=np.float32)
    images[0, 3, 3] = np.inf
    images[1] = np.nan
    source = from_npz(
        arrays_file(tmp_path, 3, images=images, labels="index,label\n0,negative\n1,negative\n2,negative\n")
    )
    assert source.report.counts == {"no values": 2}
    assert len(source) == 1


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"images": np.ones((4, 6), dtype=np.float32)}, r"'images' must have the shape \(n, H, W\), got \(4, 6\)"),
        ({"images": np.ones((4, 6, 8), dtype=complex)}, "must contain real numbers"),
        ({"mask": np.ones((3, 3), dtype=bool)}, r"the shape of 'mask', \(3, 3\), does not match the images"),
        ({"mz": np.ones(3)}, r"'mz' must have the shape \(4,\), got \(3,\)"),
        ({"labels": ""}, "no usable labelled image.*the file is empty"),
        ({"labels": "index,label\n0,x\n"}, "no usable labelled image.*line 2: unknown class 'x'"),
        ({"labels": "index\n0\n"}, "columns 'label' or 'label_a' and 'label_b' are missing"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, changes: dict[str, NDArray[np.generic] | str], cause: str) -> None:
    path = arrays_file(tmp_path, **changes)
    with pytest.raises(imn.FileError, match=cause):
        from_npz(path)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    path = arrays_file(tmp_path)
    with pytest.raises(imn.FileError, match=r"none\.npz: no such file"):
        read_source(tmp_path / "none.npz")
    with pytest.raises(imn.FileError, match=r"none\.csv: No such file"):
        read_source(path, tmp_path / "none.csv")
    text = tmp_path / "text.npz"
    text.write_text("text")
    with pytest.raises(imn.FileError, match=r"text\.npz: not a readable npz"):
        from_npz(text, tmp_path / "images_labels.csv")
    (tmp_path / "half.npz").write_bytes(path.read_bytes()[:300])
    with pytest.raises(imn.FileError, match=r"half\.npz: not a readable npz"):
        from_npz(tmp_path / "half.npz", tmp_path / "images_labels.csv")
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(imn.FileError, match=r"one\.npz: not a readable npz"):
        from_npz(tmp_path / "one.npz", tmp_path / "images_labels.csv")
    with pytest.raises(imn.ArgumentError, match=r"images_labels\.csv: not a source of labelled images"):
        read_source(tmp_path / "images_labels.csv")


def test_grades_of_classes(tmp_path: Path) -> None:
    labels = "index,label_a,label_b,structure\n0,structured,structured,\n1,negative,localized,\n2,negative,negative,1\n"
    source = from_npz(arrays_file(tmp_path, labels=labels))
    graded = source.with_class_structure()
    assert graded[0].structure == CLASS_STRUCTURE["structured"]
    assert graded[1].structure == pytest.approx((CLASS_STRUCTURE["negative"] + CLASS_STRUCTURE["localized"]) / 2)
    assert graded[2].structure == 1.0
    assert math.isnan(source[0].structure)
    assert read_source(tmp_path / "images.npz", class_structure=True)[0].structure == 3.0
    for grades in ({"structured": 3.0}, dict.fromkeys(imn.CLASSES, 4.0)):
        with pytest.raises(imn.ArgumentError, match="grades must hold a grade from 0 to 3"):
            source.with_class_structure(grades)


def test_class_grades_are_the_means_of_the_permitted_sets(shared_data: Callable[[str], Path]) -> None:
    grades: dict[str, list[float]] = {name: [] for name in imn.CLASSES}
    for stem in ("bladder79", "brain96"):
        for item in from_npz(shared_data(f"ion_images/{stem}.npz")).items:
            if item.probabilities.max() == 1.0:
                grades[imn.CLASSES[int(item.probabilities.argmax())]].append(item.structure)
    for name, values in grades.items():
        if values:
            assert CLASS_STRUCTURE[name] == pytest.approx(np.mean(values), abs=0.06), name


def test_the_store_spills_to_a_temporary_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rng = np.random.default_rng(0)
    images = [rng.random((3 + k, 5), dtype=np.float32) for k in range(6)]
    store = ImageStore(memory_limit=200)
    assert [store.add(image) for image in images] == list(range(6))
    assert (store.memory_bytes, store.disk_bytes) == (60 + 80, sum(i.nbytes for i in images[2:]))
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == store.disk_bytes
    for held in (store, pickle.loads(pickle.dumps(store))):
        for k, image in enumerate(images):
            np.testing.assert_array_equal(held[k], image)
            assert not held[k].flags.writeable
    assert "6 images" in repr(store)
    held = pickle.loads(pickle.dumps(store))
    del store
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(imn.FileError, match="cannot be read"):
        held[5]


def test_a_forked_process_leaves_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = ImageStore(memory_limit=0)
    store.add(np.ones((2, 2), dtype=np.float32))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    del store
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(imn.FileError, match="beyond the memory limit cannot be written"):
        ImageStore(memory_limit=0).add(np.ones((2, 2), dtype=np.float32))


def test_the_memory_limit_changes_no_image(tmp_path: Path) -> None:
    path = arrays_file(tmp_path)
    held, spilled = from_npz(path), from_npz(path, memory_limit=250)
    for k in range(4):
        assert_same(held[k], spilled[k])


@pytest.fixture
def small(tmp_path: Path) -> LabelledImages:
    return from_npz(arrays_file(tmp_path))


def test_mixture_meets_its_shares(small: LabelledImages) -> None:
    simulated = SimulatedSource(50, seed=1, sides=(20, 30))
    mixed = MixedSource([simulated, small], [3, 1], 40, seed=2)
    drawn = [mixed[k] for k in range(40)]
    assert sum(each.dataset == "images" for each in drawn) == pytest.approx(10, abs=1)
    assert sum(each.dataset == "images" for each in drawn[:20]) == pytest.approx(5, abs=1)
    # Simulated images are never repeated before all were seen; the others come round, each as often as the next.
    made = [each.key for each in drawn if each.dataset == "simulated"]
    assert made == [str(k) for k in range(len(made))]
    keys = [each.key for each in drawn if each.dataset == "images"]
    assert sorted(keys[:4]) == sorted(keys[4:8]) == ["100.0000", "101.0000", "102.0000", "103.0000"]
    assert mixed.dataset_ids == ("images", "simulated")
    again = MixedSource([simulated, small], [3, 1], 40, seed=2)
    assert_same(again[33], drawn[33])
    assert mixed.targets() is None
    assert [part["share"] for part in mixed.describe()["parts"]] == [0.75, 0.25]
    with pytest.raises(imn.ArgumentError, match="cannot be split"):
        mixed.select(["images"])


def test_mixture_orders_differ_each_time_and_by_seed(small: LabelledImages) -> None:
    def order(seed: int) -> list[str]:
        mixed = MixedSource([small], [1.0], 24, seed=seed)
        return [mixed[k].key for k in range(24)]

    assert order(1) != order(2)
    turns = {tuple(order(1)[k : k + 4]) for k in range(0, 24, 4)}
    assert len(turns) > 1
    assert all(sorted(turn) == sorted(order(1)[:4]) for turn in turns)


@pytest.mark.parametrize("shares", [[1.0], [1.0, 0.0], [1.0, math.nan], [1.0, -1.0]])
def test_invalid_mixtures(small: LabelledImages, shares: list[float]) -> None:
    with pytest.raises(imn.ArgumentError, match="needs a positive share"):
        MixedSource([small, small], shares, 10, seed=0)


def test_empty_mixtures(small: LabelledImages) -> None:
    with pytest.raises(imn.ArgumentError, match="every source needs images"):
        MixedSource([small.select([])], [1.0], 10, seed=0)
    with pytest.raises(imn.ArgumentError, match="n and block"):
        MixedSource([small], [1.0], 0, seed=0)


def test_mix_for_fine_tuning(small: LabelledImages) -> None:
    mixed = fine_tuning_mix(small, 24, seed=1, levels=1)
    kinds = [mixed[k].dataset for k in range(24)]
    assert abs(kinds.count("images") - 12) <= 1
    assert fine_tuning_mix(small, 24, seed=1, simulated_share=0.0).dataset_ids == ("images",)
    with pytest.raises(imn.ArgumentError, match="simulated_share"):
        fine_tuning_mix(small, 24, seed=1, simulated_share=1.0)


def test_real_sets(shared_data: Callable[[str], Path]) -> None:
    barley = from_npz(shared_data("ion_images/barley101.npz"))
    assert len(barley) == 101
    assert barley[0].mask.sum() == 3422
    brain = read_source(shared_data("ion_images/brain96.npz"), shared_data("ion_images"))
    assert len(brain) == 96
    assert brain.dataset_ids == ("brain96",)
    assert len({brain[k].image.shape for k in range(96)}) > 5
    assert barley.report.problems == brain.report.problems == []
