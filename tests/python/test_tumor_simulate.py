from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.tumor.simulate import DIFFICULTIES, LABEL_MAP, difficulty_of


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> imn.tumor.SimulatedCohort:
    strong = imn.tumor.Difficulty(level=1.5, texture=1.0, batch=0.05, noise=50.0, mimic=0.0)
    return imn.tumor.simulate_cohort(
        tmp_path_factory.mktemp("sim"), patients=2, sections=1, shape=(40, 44), n_channels=60, difficulty=strong, seed=3
    )


def _neighbours(image: np.ndarray, inside: np.ndarray) -> float:
    """Correlation of neighbours in a region."""
    both = inside[:, 1:] & inside[:, :-1]
    return float(np.corrcoef(image[:, 1:][both], image[:, :-1][both])[0, 1])


def test_truth_shows_in_the_sections(easy: imn.tumor.SimulatedCohort) -> None:
    cohort = imn.tumor.read_cohort(easy.list_path, labels=imn.tumor.parse_label_map(str(easy.label_path)))
    assert cohort.classes == tuple(LABEL_MAP.values())
    assert easy.truth["informative"].sum() == 6
    assert (np.diff(easy.truth["mz"]) > 0).all()
    for section in cohort.sections:
        with imn.open(section.path) as ds:
            labels = cohort.labels(section, ds.shape)
            images = np.log1p(ds.ion_images(easy.truth["mz"], ppm=5) / np.maximum(ds.tic_image(), 1))
        normal, tumor = labels == 0, labels == 1
        assert tumor.sum() > 60
        assert normal.sum() > 60
        for k, row in easy.truth.iterrows():
            image = images[k]
            if row["kind"] == "level":
                shift = np.nanmedian(image[tumor]) - np.nanmedian(image[normal])
                assert np.sign(shift) == np.sign(row["effect"])
            elif row["kind"] == "texture":
                assert _neighbours(image, tumor) < _neighbours(image, normal) - 0.1
            elif row["kind"] == "matrix":
                assert abs(_neighbours(image, normal)) < 0.5


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        imn.tumor.simulate_cohort(tmp_path / name, patients=2, sections=1, shape=(24, 24), n_channels=20, seed=seed)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 4 + 2 * 3
    same = [(tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names]
    assert all(same)
    assert (tmp_path / "a" / "p01_s1.ibd").read_bytes() != (tmp_path / "c" / "p01_s1.ibd").read_bytes()


def test_difficulties_are_ordered() -> None:
    levels = list(DIFFICULTIES.values())
    for a, b in pairwise(levels):
        assert (a.level, a.texture, a.noise) > (b.level, b.texture, b.noise)
        assert (a.batch, a.mimic) < (b.batch, b.mimic)


@pytest.mark.parametrize(
    "bad",
    [{"patients": 1}, {"sections": 0}, {"shape": (8, 40)}, {"n_channels": 3}, {"difficulty": "odd"}, {"seed": -1}],
)
def test_invalid_arguments(tmp_path: Path, bad: dict) -> None:
    with pytest.raises(ArgumentError):
        imn.tumor.simulate_cohort(tmp_path, **bad)
    with pytest.raises(ArgumentError, match="difficulty: noise"):
        difficulty_of(imn.tumor.Difficulty(1.0, 1.0, 1.0, 0.0, 1.0))
