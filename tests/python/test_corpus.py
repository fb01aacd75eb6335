"""Corpora of real labelled images: reading, filters, and folds that share no section."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.labelled.corpus import Corpus, Fold, joined, picture_folds, source_folds, specimens
from ionmorphnet.labelled.real_images import known_sections, read_corpora, read_image_array, read_real_images
from ionmorphnet.models.labels import CLASSES
from real_image_factory import ion_image, rows_of, write_real_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_real_images(tmp_path / "real_images")


def test_reads_labels_grades_and_origin(folder: Path) -> None:
    corpus = read_real_images(folder)
    assert len(corpus) == 17
    assert corpus.dataset_ids == corpus.sources == ("alpha", "beta", "gamma")
    assert corpus.report.counts == {"not usable": 1}
    sample, item = corpus[0], corpus.items[0]
    np.testing.assert_array_equal(sample.image, ion_image(0)[0].astype(np.float16).astype(np.float32))
    assert sample.probabilities.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert (sample.dataset, sample.key, sample.structure) == ("alpha", "alpha_book_0#0", 2.75)
    assert (item.picture, item.index, item.off_sample) == ("alpha_book_0", 0, False)
    assert item.section == ""
    assert not item.agreed
    assert corpus.items[1].agreed
    assert corpus.items[2].off_sample is None
    assert corpus.labels.shape == corpus.grades.shape == (2, 17)
    assert corpus.labels[:, 0].tolist() == [CLASSES.index("structured"), CLASSES.index("weak_structured")]
    assert corpus.grades[:, 0].tolist() == [3.0, 2.5]
    np.testing.assert_allclose(corpus.grades.mean(axis=0), corpus.structure)


def test_filters(folder: Path) -> None:
    assert read_real_images(folder, ["beta"]).sources == ("beta",)
    assert read_real_images(folder, exclude_sources=["beta"]).sources == ("alpha", "gamma")
    assert read_real_images(folder, may_train=True).sources == ("alpha", "beta")
    assert read_real_images(folder, may_train=False).sources == ("gamma",)
    assert len(read_real_images(folder).where(lambda item: item.agreed)) == 13
    with pytest.raises(ArgumentError, match=r"unknown source delta; .*labels\.csv has alpha, beta, gamma"):
        read_real_images(folder, ["delta"])
    with pytest.raises(FileError, match="no usable image is left"):
        read_real_images(folder, ["gamma"], may_train=True)


def test_units(folder: Path) -> None:
    corpus = read_real_images(folder)
    # The images of beta name one section, so its two pictures are one specimen.
    assert corpus.by("specimen").dataset_ids == (
        *(f"alpha:alpha_book_{k}" for k in range(4)),
        "beta:piece",
        *(f"gamma:gamma_book_{k}" for k in range(3)),
    )
    sections = corpus.by("section")
    assert len(sections.dataset_ids) == 8 + 1 + 3
    assert len(sections.select(["beta:piece"])) == 6
    assert sections.describe()["datasets"] == corpus.describe()["datasets"]
    with pytest.raises(ArgumentError, match="unknown dataset delta"):
        corpus.select(["delta"])
    with pytest.raises(ArgumentError, match="unit must be"):
        corpus.by("picture")  # type: ignore[arg-type]


def test_specimens_join_through_pictures_and_places(folder: Path) -> None:
    items = read_real_images(folder).items
    # Pictures 0 and 1 of alpha show piece p, pictures 1 and 2 piece q: all of them are one specimen.
    places = ["p", "", "p", "q", "q", "", *[""] * 11]
    names = specimens(items, places)
    assert names[:8] == ["alpha:p"] * 6 + ["alpha:alpha_book_3"] * 2
    assert names[8] == "beta:beta_book_0"


def test_maps_follow_their_images(folder: Path) -> None:
    corpus = read_real_images(folder)
    shown = np.full((24, 28), 0.5, np.float32)
    mapped = corpus.with_maps({corpus.items[k].number: shown for k in (0, 8)})
    kept = joined([mapped.select(["alpha"]), mapped.select(["beta"])])
    for part in (mapped, kept, pickle.loads(pickle.dumps(kept))):
        assert [k for k in range(len(part)) if part[k].sample is not None] == [0, 8]
        np.testing.assert_array_equal(part[8].image, corpus[8].image)
    assert kept.describe()["sample_maps"] == 2


def _disjoint(fold: Fold) -> None:
    train, held = fold.training, fold.held_out
    assert not {item.specimen for item in train.items} & {item.specimen for item in held.items}
    pictures = [{(item.source, item.picture) for item in part.items} for part in (train, held)]
    assert not pictures[0] & pictures[1]
    digests = [{part.digest(k) for k in range(len(part))} for part in (train, held)]
    assert not digests[0] & digests[1]
    assert all(item.may_train for item in train.items)


def test_source_folds(folder: Path) -> None:
    corpus = read_real_images(folder)
    folds = source_folds(corpus, {"small": ("beta", "gamma", "absent")})
    assert [fold.name for fold in folds] == ["alpha", "small"]
    assert folds[1].held_out.sources == ("beta", "gamma")
    assert folds[0].training.sources == ("beta",)  # gamma may not train
    for fold in folds:
        _disjoint(fold)
    (fold,) = source_folds(corpus, names=["gamma"], may_train=False)
    assert fold.training.sources == ("alpha", "beta")
    with pytest.raises(ArgumentError, match="unknown fold delta; known: alpha, beta, gamma"):
        source_folds(corpus, names=["delta"])
    with pytest.raises(ArgumentError, match="must not contain a source twice"):
        source_folds(corpus, {"a": ("alpha",), "b": ("alpha",)})
    with pytest.raises(ArgumentError, match="fold 'all' leaves no image to train on"):
        source_folds(corpus, {"all": ("alpha", "beta")}, names=["all"])


def test_picture_folds_divide_no_specimen(folder: Path) -> None:
    corpus = read_real_images(folder)
    folds = picture_folds(corpus, 2)
    assert [fold.name for fold in folds] == ["pictures 0", "pictures 1"]
    held = [item.number for fold in folds for item in fold.held_out.items]
    assert sorted(held) == sorted(item.number for item in corpus.items)
    assert all("alpha" in fold.held_out.sources for fold in folds)
    for fold in folds:
        _disjoint(fold)
    with pytest.raises(ArgumentError, match="n must be at least 2"):
        picture_folds(corpus, 1)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"label_a": "spotty"}, r"labels\.csv: line 2: unknown class 'spotty'"),
        ({"grade_b": 4}, r"line 2: grades must be from 0 to 3, got 3.0 and 4"),
        ({"usable": "yes"}, r"line 2: usable must be 0 or 1, got 'yes'"),
        ({"may_train": ""}, r"line 2: may_train must be 0 or 1, got ''"),
        ({"expert_off_sample": "1"}, r"line 2: expert_off_sample must be on, off or empty"),
        ({"index": 1}, r"line 3: index 1 is listed twice"),
    ],
)
def test_malformed_rows_are_errors(tmp_path: Path, change: dict[str, object], cause: str) -> None:
    rows = rows_of()
    rows[0] |= change
    with pytest.raises(FileError, match=cause):
        read_real_images(write_real_images(tmp_path, rows))


def test_missing_parts_are_errors(folder: Path) -> None:
    text = (folder / "labels.csv").read_text(encoding="utf-8")
    (folder / "labels.csv").write_text(text.replace("grade_b", "grade_c"), encoding="utf-8")
    with pytest.raises(FileError, match="line 1: column 'grade_b' is missing"):
        read_real_images(folder)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    np.savez(folder / "images.npz", image_0=ion_image(0)[0])
    with pytest.raises(FileError, match=r"line 3: images\.npz has no array image_1"):
        read_real_images(folder)
    (folder / "images.npz").write_bytes(b"no archive")
    with pytest.raises(FileError, match=r"images\.npz: not an npz file"):
        read_real_images(folder)


def test_image_arrays_and_all_corpora(folder: Path) -> None:
    arrays = folder.parent / "ion_images"
    arrays.mkdir()
    labels = (
        "index,key,label_a,label_b,structure\n0,slice01_A,structured,localized,2\n1,slice02_A,structured,structured,3"
    )
    images = np.stack([ion_image(100)[0], ion_image(101)[0]])
    for name in ("brain96", "bladder150"):
        np.savez(arrays / f"{name}.npz", images=images + (name == "brain96"))
        (arrays / f"{name}_labels.csv").write_text(labels, encoding="utf-8")
    brain = read_image_array(arrays / "brain96.npz")
    assert brain.by("section").dataset_ids == ("brain96:slice01", "brain96:slice02")
    assert np.isnan(brain.grades).all()
    assert brain.structure.tolist() == [2.0, 3.0]
    corpus = read_corpora(folder.parent)
    assert corpus.sources == ("alpha", "beta", "bladder150", "brain96", "gamma")
    assert read_corpora(folder.parent, may_train=True).sources == ("alpha", "beta", "brain96")
    assert read_corpora(folder.parent, ["beta", "brain96"]).sources == ("beta", "brain96")
    assert read_corpora(folder.parent, ["real_images"]).sources == ("alpha", "beta", "gamma")
    bladder = corpus.where(lambda item: item.source == "bladder150").by("specimen")
    assert bladder.dataset_ids == ("bladder",)
    with pytest.raises(ArgumentError, match="unknown source delta"):
        read_corpora(folder.parent, ["delta"])
    with pytest.raises(ArgumentError, match="not a known array file"):
        read_image_array(arrays / "other.npz")
    with pytest.raises(FileError, match="contains neither"):
        read_corpora(arrays)
    with pytest.raises(ArgumentError, match="without common sources"):
        joined([brain, brain])


def test_the_real_corpus_divides_cleanly(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("real_images")
    corpus = read_corpora(folder.parent)
    counts = {source: sum(item.source == source for item in corpus.items) for source in corpus.sources}
    assert counts["pimz"] == 118
    assert sum(counts[name] for name in counts if name[:2] not in ("ba", "bl", "br")) == 453
    real: Corpus = read_real_images(folder)
    assert len(read_real_images(folder, may_train=True)) == 324
    assert {(item.source, item.key) for item in real.items} == set(known_sections())
    for fold in source_folds(corpus) + picture_folds(corpus):
        _disjoint(fold)
