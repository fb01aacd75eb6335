from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.tumor.simulate import DIFFICULTIES, INFORMATIVE, LABEL_MAP, difficulty_of


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> imn.tumor.SimulatedCohort:
    strong = imn.tumor.Difficulty(level=1.5, texture=1.0, batch=0.05, noise=50.0, mimic=0.0)
    return imn.tumor.simulate_cohort(
        tmp_path_factory.mktemp("sim"),
        patients=2,
        sections=1,
        shape=(40, 44),
        n_channels=60,
        difficulty=strong,
        mixed_share=0.0,
        seed=3,
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
        assert (a.offset, a.drift, a.blur) < (b.offset, b.drift, b.blur)


@pytest.mark.parametrize(
    ("texture", "mixed", "counts"),
    [
        (0.0, 0.2, (10, 0, 0)),
        (1.0, 0.2, (0, 10, 0)),
        (0.5, 0.2, (4, 4, 2)),
        (0.5, 0.0, (5, 5, 0)),
        (0.3, 1.0, (0, 0, 10)),
    ],
)
def test_shares_of_informative_channels(
    tmp_path: Path, texture: float, mixed: float, counts: tuple[int, int, int]
) -> None:
    cohort = imn.tumor.simulate_cohort(
        tmp_path,
        patients=2,
        sections=1,
        shape=(24, 24),
        n_channels=100,
        texture_share=texture,
        mixed_share=mixed,
    )
    truth = cohort.truth
    assert tuple((truth["kind"] == kind).sum() for kind in INFORMATIVE) == counts
    assert (truth["effect"].ne(0) == truth["kind"].isin(["level", "mixed"])).all()
    document = json.loads((tmp_path / "cohort.json").read_text())
    assert (document["texture_share"], document["mixed_share"]) == (texture, mixed)


def test_decoys_differ_between_cohorts(tmp_path: Path) -> None:
    """No number of channels to take, and no brightness, is right for every cohort."""
    matrix, brighter = set(), []
    for seed in range(6):
        cohort = imn.tumor.simulate_cohort(
            tmp_path / str(seed), patients=2, sections=1, shape=(24, 24), n_channels=200, seed=seed
        )
        truth = cohort.truth
        matrix.add(int((truth["kind"] == "matrix").sum()))
        with imn.open(cohort.folder / "p01_s1.imzML") as ds:
            mean = np.nanmean(ds.ion_images(truth["mz"], ppm=5), axis=(1, 2))
        brightest = truth["informative"].to_numpy()[np.argsort(-mean)[:40]]
        brighter.append(int(brightest.sum()))
    assert len(matrix) >= 5
    assert min(matrix) >= 10
    assert max(matrix) <= 70
    # Of 20 informative channels, 4 by chance: brightness is neither the answer nor a trap.
    assert min(brighter) >= 1
    assert max(brighter) <= 12


@pytest.mark.parametrize("effect", ["offset", "drift", "blur"])
def test_batch_effects_of_a_section(tmp_path: Path, effect: str) -> None:
    plain = imn.tumor.Difficulty(level=0.0, texture=0.0, batch=0.0, noise=100.0, mimic=0.0)
    sizes = {"offset": 0.5, "drift": 0.8, "blur": 2.0}
    images = {}
    for name, difficulty in (("plain", plain), ("changed", replace(plain, **{effect: sizes[effect]}))):
        cohort = imn.tumor.simulate_cohort(
            tmp_path / name, patients=2, sections=1, shape=(40, 40), n_channels=100, difficulty=difficulty, seed=4
        )
        with imn.open(cohort.folder / "p01_s1.imzML") as ds:
            images[name] = ds.ion_images(cohort.truth["mz"], ppm=5)
            labels = np.asarray(Image.open(cohort.folder / "p01_s1_regions.png"))
    one, other = images["plain"], images["changed"]
    on = labels > 0
    kind = cohort.truth["kind"].to_numpy()
    if effect == "offset":
        tissue = ~np.isin(kind, ["matrix", "noise"])
        off = (labels == 0) & ~np.isnan(one[0])
        ratios = [np.median(each[tissue][:, off]) / np.median(each[tissue][:, on]) for each in (one, other)]
        assert ratios[1] > 3 * ratios[0]  # the background off the tissue
    elif effect == "drift":
        rows = np.arange(on.shape[0])[:, None] * np.ones(on.shape)
        slopes = [
            [np.polyfit(rows[on], np.log(np.maximum(image[on], 1e-3)), 1)[0] for image in each[kind == "matrix"]]
            for each in (one, other)
        ]
        assert np.std(slopes[1]) > 4 * np.std(slopes[0])
    else:
        anatomy = np.flatnonzero(kind == "anatomy")
        sharp = [np.mean([_edges(each[k], on) for k in anatomy]) for each in (one, other)]
        assert sharp[1] < 0.8 * sharp[0]


def _edges(image: np.ndarray, inside: np.ndarray) -> float:
    """Largest relative steps between neighbours."""
    both = inside[:, 1:] & inside[:, :-1]
    return float(np.quantile(np.abs(np.diff(np.log(np.maximum(image, 1e-3)), axis=1))[both], 0.95))


@pytest.mark.parametrize(
    "bad",
    [
        {"patients": 1},
        {"sections": 0},
        {"shape": (8, 40)},
        {"n_channels": 3},
        {"difficulty": "odd"},
        {"seed": -1},
        {"texture_share": 1.5},
        {"mixed_share": -0.1},
    ],
)
def test_invalid_arguments(tmp_path: Path, bad: dict) -> None:
    with pytest.raises(ArgumentError):
        imn.tumor.simulate_cohort(tmp_path, **bad)
    with pytest.raises(ArgumentError, match="difficulty: noise"):
        difficulty_of(imn.tumor.Difficulty(1.0, 1.0, 1.0, 0.0, 1.0))
