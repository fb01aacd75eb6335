"""The cascade of a model folder: config.json, scores of spared images, picking, and fitting its limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.evaluate.cascade_fit import (
    GradedImages,
    fit_cascade,
    fit_limits,
    graded_images,
    lost_by_source,
    of_simulation,
    write_cascade,
)
from ionmorphnet.models.labels import PROBABILITY_COLUMNS
from ionmorphnet.reference.cascade import find_noise
from model_factory import write_model

CASCADE = {"moran_z": 4.0, "blur": 0.04, "ceiling": 0.02}


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    """40 images: every second one has a disc."""
    y, x = np.mgrid[:40, :50] / 40
    disc = (y - 0.5) ** 2 + (x - 0.7) ** 2 < 0.1
    stack = rng.exponential(size=(40, 40, 50))
    stack[::2] += disc
    stack[7] = 1.0
    return stack.astype(np.float32)


@pytest.mark.parametrize("structure", [True, False])
def test_spared_images_have_a_score_below_the_threshold(tmp_path: Path, images: np.ndarray, structure: bool) -> None:
    write_model(tmp_path / "m", structure=structure, cascade=CASCADE)
    frame = imn.score_images(images, model=tmp_path / "m", precision="f32")
    alone = imn.score_images(images, model=tmp_path / "m", precision="f32", cascade=False)
    assert "spared" not in alone
    spared = frame["spared"].to_numpy()
    reach = find_noise(images, moran_z=4.0, blur=0.04)
    np.testing.assert_array_equal(spared, ~np.isnan(reach))
    assert 15 <= spared.sum() <= 19  # not the discs, not the blank image
    assert not spared[::2].any()
    np.testing.assert_allclose(frame["score"][spared], 0.02 * reach[spared], rtol=1e-4)
    assert (frame["label"][spared] == "unstructured").all()
    assert (frame.loc[spared, "p_unstructured"] == 1).all()
    assert (frame.loc[spared, list(PROBABILITY_COLUMNS)].sum(axis=1) == 1).all()
    if structure:
        np.testing.assert_allclose(frame["structure"][spared], 0.06 * reach[spared], rtol=1e-4)
    assert frame["score"][7] == 0
    shared = list(alone.columns)
    np.testing.assert_array_equal(frame.loc[~spared, shared], alone.loc[~spared])


def test_a_callable_sees_every_image(tmp_path: Path, images: np.ndarray) -> None:
    write_model(tmp_path / "m", cascade=CASCADE)
    seen = []

    def call(batch: np.ndarray) -> np.ndarray:
        seen.append(len(batch))
        return np.zeros((len(batch), 6), np.float32)

    frame = imn.score_images(images, model=tmp_path / "m", scorer=call)
    assert sum(seen) == 39
    assert "spared" not in frame


def test_a_pick_records_what_was_spared(tmp_path: Path, section: Path, cli: Callable[..., Any]) -> None:
    write_model(tmp_path / "m", cascade={**CASCADE, "moran_z": 1e3, "blur": 0.2})
    out = tmp_path / "out"
    done = cli("pick", section, "-o", out, "--model", tmp_path / "m", "--top", 5)
    assert done.code == 0, done
    assert "spared by the cascade" in done.stdout
    run = json.loads((out / section.stem / "run.json").read_text())
    assert run["counts"]["spared"] > 0
    assert run["cascade"] == {"moran_z": 1e3, "blur": 0.2, "ceiling": 0.02}
    rows = (out / section.stem / "scores.csv").read_text().splitlines()
    column = rows[0].split(",").index("spared")
    assert sum(row.split(",")[column] == "True" for row in rows[1:]) == run["counts"]["spared"]
    again = imn.open_run(out / section.stem)
    assert again.all_scores["spared"].sum() == again.run.counts.spared == run["counts"]["spared"]

    done = cli("pick", section, "-o", out, "--model", tmp_path / "m", "--top", 5, "--no-cascade")
    assert done.code == 0, done
    assert "cascade" not in done.stdout
    run = json.loads((out / section.stem / "run.json").read_text())
    assert run["counts"]["spared"] == 0
    assert run["cascade"] is None
    assert "spared" not in (out / section.stem / "scores.csv").read_text()


@pytest.mark.parametrize(
    ("cascade", "text"),
    [
        ([4, 0.04], "'cascade' must be an object"),
        ({**CASCADE, "blur": 0}, "cascade 'blur' must be a positive number, got 0"),
        ({**CASCADE, "moran_z": True}, "cascade 'moran_z' must be a positive number"),
        ({"moran_z": 4, "blur": 0.04}, "cascade 'ceiling' must be a positive number, got null"),
        ({**CASCADE, "ceiling": 0.5}, "ceiling 0.5 of the cascade must be below the threshold 0.5"),
        ({**CASCADE, "evidence": {"lost": 2}}, "loses structured images according to its evidence"),
    ],
)
def test_malformed_cascades(tmp_path: Path, cascade: object, text: str) -> None:
    write_model(tmp_path / "m", cascade=cascade)
    with pytest.raises(FileError, match=text):
        imn.load_model(tmp_path / "m")


def table(*rows: tuple[str, float, float, float]) -> GradedImages:
    """Images with given statistics: source, grade, Moran's z, blur."""
    source, *values = zip(*rows, strict=True)
    image = np.zeros((2, 2), np.float32)
    return GradedImages((image,) * len(rows), np.array(source), *(np.array(each, float) for each in values))


NOISE = ("a", 0.0, 1.0, 0.02)


def test_limits_leave_a_margin() -> None:
    assert fit_limits(table(NOISE, ("a", 2.0, 30.0, 0.5))) == (4.0, 0.04)
    # The nearest structured image is 0.9 of the largest limits away: they shrink until it is 1.5 times beyond them.
    limits = fit_limits(table(NOISE, ("a", 2.0, 30.0, 0.5), ("a", 1.5, 3.6, 0.01), ("a", 1.4, 0.1, 0.02)))
    np.testing.assert_allclose(limits, (2.4, 0.024))
    assert table(("a", 1.5, 3.6, 0.01)).reach(*limits) == pytest.approx(1.5)
    with pytest.raises(ArgumentError, match=r"grade 1\.5 or more"):
        fit_limits(table(NOISE))


def test_a_source_with_fainter_structure_is_found_out() -> None:
    rows = [NOISE, ("a", 2.0, 30.0, 0.5), ("b", 3.0, 20.0, 0.4), ("b", 2.0, 3.0, 0.03), ("b", 0.0, 1.0, 0.02)]
    assert lost_by_source(table(*rows)) == {"a": 0, "b": 1}
    assert lost_by_source(table(*rows[:3])) == {"a": 0, "b": 0}


def test_statistics_count_measured_pixels(rng: np.random.Generator) -> None:
    image = rng.random((40, 30), dtype=np.float32)
    image[:20] = np.nan
    small = image[30:]  # 300 pixels, too few to tell noise
    whole = graded_images([("a", image, 1.0), ("a", image, np.nan), ("b", image[20:], 2.0), ("c", small, 1.0)])
    assert list(whole.source) == ["a", "b", "c"]
    assert np.isinf(whole.reach()[2])
    np.testing.assert_allclose(whole.moran_z[0], whole.moran_z[1], rtol=1e-5)
    assert whole.moran_z[1] == pytest.approx(
        float(imn.image_statistics(image[20:])["moran"].iloc[0]) * np.sqrt(1200), rel=1e-5
    )


def test_fitting_and_writing(tmp_path: Path, rng: np.random.Generator) -> None:
    write_model(tmp_path / "m", structure=True)
    model = imn.load_model(tmp_path / "m")
    y, x = np.mgrid[:40, :50] / 40
    disc = (y - 0.5) ** 2 + (x - 0.7) ** 2 < 0.1
    noise = [rng.exponential(size=disc.shape).astype(np.float32) for _ in range(6)]
    corpus = graded_images(
        [(name, image + disc * contrast, 3.0 * contrast) for name in "ab" for image in noise for contrast in (0, 1)]
    )
    simulated = of_simulation(3)
    score = imn.score_images(np.stack(noise), model=model)["score"].max()
    if score >= model.threshold:
        with pytest.raises(ArgumentError, match="the network scores an image that the limits spare"):
            fit_cascade(model, corpus, simulated)
        write_model(tmp_path / "m", structure=True, threshold=(1.0 + score) / 2)
        model = imn.load_model(tmp_path / "m")
    fitted = fit_cascade(model, corpus, simulated)
    written = write_cascade(tmp_path / "m", fitted)
    assert written.cascade == fitted.cascade
    assert 0 < written.cascade.ceiling <= model.threshold / 4
    evidence = json.loads((tmp_path / "m" / "config.json").read_text())["cascade"]["evidence"]
    assert evidence["lost"] == evidence["lost_leaving_one_source_out"] == 0
    assert evidence["sources"] == 2
    assert evidence["real"]["structured_images"] == 12
    assert evidence["real"]["spared"] >= 10
    assert evidence["real"]["nearest_structured_reach"] >= 1.5
    assert written.threshold > evidence["highest_network_score_of_spared"] >= written.cascade.ceiling
    # Written again, it replaces the first one.
    assert write_cascade(tmp_path / "m", fitted).cascade == fitted.cascade
