from __future__ import annotations

import base64
import dataclasses
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from html_page import Page
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io.rendering import scale_bar
from ionmorphnet.models.labels import CLASSES, DESCRIPTIONS
from ionmorphnet.report import ReportData, render_report, write_report
from ionmorphnet.report.pictures import MAX_PIXELS, MAX_SIDE, block_factor
from ionmorphnet.report.spectrum import heights_at, mean_spectrum, thin
from ionmorphnet.report.table import class_counts, cut, histogram


def make(
    n: int = 6,
    *,
    candidates: int = 20,
    shape: tuple[int, int] = (12, 18),
    classical: bool = False,
    rng: np.random.Generator | None = None,
    **changes: Any,
) -> ReportData:
    rng = rng or np.random.default_rng(7)
    p = rng.dirichlet(np.ones(6), candidates)
    score = p[:, [0, 2, 5]].sum(axis=1)
    order = np.argsort(-score)
    p, score = p[order], score[order]
    mz = rng.permutation(np.linspace(300, 900, candidates))
    every = pd.DataFrame(
        {"rank": np.arange(1, candidates + 1), "mz": mz, "mz_lo": mz - 0.01, "mz_hi": mz + 0.01, "score": score}
    )
    every["label"] = None if classical else np.array(CLASSES)[p.argmax(axis=1)]
    for i, name in enumerate(CLASSES):
        every[f"p_{name}"] = np.nan if classical else p[:, i]
    images = rng.gamma(1, 10, (n, *shape)).astype(np.float32)
    images[:, : shape[0] // 3] = np.nan
    axis = np.sort(mz)
    data = ReportData(
        title="section.imzML",
        frame=every.head(n),
        images=images,
        all_scores=every,
        mean_mz=axis,
        mean_intensity=rng.gamma(1, 10, candidates),
        tic=np.where(np.isnan(images[0]), np.nan, 1.0).astype(np.float32) if n else np.ones(shape, np.float32),
        pixel_size_um=(10.0, 20.0),
        facts={
            "date": "2026-01-02 03:04",
            "scorer": "openvino",
            "input": {"path": "/data/section.imzML", "mode": "continuous", "spectrum_type": "centroid"},
            "parameters": {"top": n, "min_score": None},
            "model": {"name": "atto", "sha256": "abc123"},
            "timings": {"open": 0.5, "score": 1.25},
        },
        warnings=["pixel size missing"],
        score_description="informative score = P(structured) + P(localized) + P(negative)",
    )
    return dataclasses.replace(data, **changes)


def test_page_states_what_was_done() -> None:
    page = Page(render_report(make()))
    for text in (
        "section.imzML", "top 6", "openvino, atto", "2026-01-02 03:04", "pixel size missing",
        "18 × 12 pixels (width × height)",
        "144 of 216 pixels (67%), 0.0288 mm²", "10 × 20 µm (width × height)", "continuous, centroid",
        "informative score = P(structured)", "abc123", "1.25 s", "0.99 quantile", "/data/section.imzML",
    ):  # fmt: skip
        assert text in page.text, text
    ids = {a["id"] for _, a in page.elements if "id" in a}
    script = render_report(make()).rsplit("<script>", 1)[1]
    used = set(re.findall(r"byId\('([\w-]+)'\)", script))
    assert used <= ids
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", "picks") in ids | {"picks"}


def test_warnings_stand_at_the_top_once() -> None:
    facts = {"warnings": ["70% of the pixels are isolated: scores mean little", "pixel size missing"]}
    html = render_report(make(facts=facts))
    page = Page(html)
    assert "2 warnings pixel size missing 70% of the pixels are isolated" in page.text
    for text in ("70% of the pixels", "pixel size missing"):
        assert html.count(text) == 1
        assert html.index(text) < html.index('id="section-title"')
    assert "warnings" not in Page(render_report(make(warnings=[]))).text


def test_colours_have_a_legend() -> None:
    page = Page(render_report(make()))
    for name, meaning in DESCRIPTIONS.items():
        assert f"{name.replace('_', ' ')}{meaning}" in page.text
    assert "Bars show the probability of each class: structured weak structured localized" in page.text
    assert "Colours: 0 0.99 quantile" in page.text
    assert "Bars show the probability" not in Page(render_report(make(classical=True))).text


@pytest.mark.parametrize(
    ("date", "shown"),
    [("2026-11-30T11:12:34+00:00", "2026-11-30 11:12 UTC"), ("2026-11-30", "2026-11-30 00:00"), ("autumn", "autumn")],
)
def test_the_date_is_easy_to_read(date: str, shown: str) -> None:
    page = Page(render_report(make(facts={"date": date})))
    assert f"date{shown} " in page.text


def test_pictures_decode_to_the_images() -> None:
    data = make()
    payload = Page(render_report(data)).payload
    assert len(payload["pictures"]) == 6
    for picture, image in zip(payload["pictures"], data.images, strict=True):
        rgba = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["png"]))).convert("RGBA"))
        assert rgba.shape == (12, 18, 4)
        assert ((rgba[..., 3] == 0) == np.isnan(image)).all()
        measured = image[~np.isnan(image)].astype(np.float64)
        assert picture["upper"] == pytest.approx(np.quantile(measured, 0.99))
    assert payload["geometry"] == {
        "width": 18, "height": 12, "ratio": pytest.approx(180 / 240),
        "bar": {"fraction": pytest.approx(50 / 180), "text": "50 µm"},
    }  # fmt: skip


def test_table_travels_unrounded() -> None:
    data = make()
    table = Page(render_report(data)).payload["table"]
    assert list(table) == list(data.frame.columns)
    assert table["mz"] == data.frame["mz"].tolist()
    assert table["score"] == data.frame["score"].tolist()
    single = data.frame.assign(score=data.frame["score"].astype(np.float32))
    sent = Page(render_report(dataclasses.replace(data, frame=single))).payload["table"]["score"]
    assert (np.array(sent, np.float32) == single["score"].to_numpy()).all()
    assert all(len(str(v)) <= 12 for v in sent)


def test_nothing_is_loaded_from_anywhere() -> None:
    html = render_report(make())
    page = Page(html)
    for tag, attributes in page.elements:
        assert tag not in {"iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\(", html)
    # The only URL is the SVG namespace, which is never loaded.
    assert set(re.findall(r"https?://[^\s'\"]+", html)) == {"http://www.w3.org/2000/svg"}
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in policy


def test_policy_admits_the_script_of_the_page() -> None:
    import hashlib

    html = render_report(make())
    script = html.rsplit("<script>", 1)[1].split("</script>", 1)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in html


def test_hostile_text_stays_text() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&日本 {{ 7*7 }}"
    data = make()
    frame = data.frame.assign(label=evil, **{evil: evil})
    hostile = dataclasses.replace(
        data, title=evil, frame=frame, warnings=[evil], score_description=evil,
        facts={evil: evil, "input": {evil: [evil]}, "scorer": evil, "timings": {evil: 1.0},
               "parameters": {"top": evil}},
    )  # fmt: skip
    page = Page(render_report(hostile))
    plain = Page(render_report(data))
    assert [t for t, _ in page.elements].count("script") == [t for t, _ in plain.elements].count("script") == 2
    assert all(a.get("src") != "x" and "onerror" not in a for _, a in page.elements)
    assert page.payload["table"]["label"] == [evil] * 6
    assert page.payload["name"] == evil
    assert page.text.count("{{ 7*7 }}") >= 5
    assert page.content["h1"] == evil


def test_file_name_of_foreign_encoding(tmp_path: Path) -> None:
    name = os.fsdecode(b"schnitt_\xe4.imzML")
    write_report(tmp_path / "r.html", make(title=name))
    assert "schnitt_?.imzML" in (tmp_path / "r.html").read_text("utf-8")


def test_classical_scorer_leaves_classes_out() -> None:
    page = Page(render_report(make(classical=True)))
    assert page.payload["classes"] == []
    assert page.payload["probabilities"] == []
    assert page.payload["table"]["label"] == [None] * 6
    assert page.payload["table"]["p_negative"] == [None] * 6
    assert "classes-title" not in {a.get("id") for _, a in page.elements}
    assert "classes-title" in {a.get("id") for _, a in Page(render_report(make())).elements}


def test_contract_columns_alone_are_enough() -> None:
    data = make()
    frame = data.frame[["rank", "mz", "score"]]
    page = Page(render_report(dataclasses.replace(data, frame=frame, all_scores=data.all_scores[["score"]], facts={})))
    assert list(page.payload["table"]) == ["rank", "mz", "score"]
    assert "not stated" in page.text


def test_no_picks() -> None:
    data = make(0, facts={"parameters": {"min_score": 0.999}})
    page = Page(render_report(data))
    assert f"The highest score is {data.all_scores['score'].max():.6g}" in page.text
    assert "score ≥ 0.999" in page.text
    assert page.payload["pictures"] == []
    assert page.payload["histogram"]["cut"] == 0.999
    assert sum(page.payload["histogram"]["picked"]) == 0


def test_no_candidates_at_all() -> None:
    data = make(0)
    empty = np.zeros(0)
    page = Page(
        render_report(
            dataclasses.replace(data, all_scores=data.frame, mean_mz=empty, mean_intensity=empty, warnings=[])
        )
    )
    assert "No candidate has a score." in page.text
    assert "No mean spectrum is available" in page.text
    assert not any(a.get("class") == "warnings" and t == "section" for t, a in page.elements)


def test_one_channel_of_one_pixel() -> None:
    page = Page(render_report(make(1, candidates=1, shape=(1, 1), pixel_size_um=None)))
    assert page.payload["geometry"]["bar"] is None
    assert len(page.payload["pictures"]) == 1
    assert sum(page.payload["histogram"]["all"]) == 1


def test_nan_scores_and_empty_images() -> None:
    data = make()
    frame = data.frame.assign(score=[0.9, np.nan, np.inf, 0.5, np.nan, 0.1])
    images = data.images.copy()
    images[0], images[1], images[2] = np.nan, 0, -1
    page = Page(render_report(dataclasses.replace(data, frame=frame, all_scores=frame, images=images)))
    assert page.payload["table"]["score"] == [0.9, None, None, 0.5, None, 0.1]
    assert page.payload["histogram"]["without"] == 3
    assert [p["upper"] for p in page.payload["pictures"][:3]] == [0, 0, 0]
    assert "3 candidates have no finite score" in page.text


def test_pictures_beyond_the_limit_are_stated() -> None:
    page = Page(render_report(make(), max_pictures=4))
    assert len(page.payload["pictures"]) == 4
    assert len(page.payload["table"]["mz"]) == 6
    assert "Only the first 4 of 6 picks have an image." in page.text
    assert "have an image" not in Page(render_report(make())).text
    with pytest.raises(ArgumentError, match="max_pictures"):
        render_report(make(), max_pictures=-1)


def test_fewer_images_than_picks() -> None:
    data = make()
    page = Page(render_report(dataclasses.replace(data, images=data.images[:2])))
    assert "Only the first 2 of 6" in page.text


def test_large_sections_are_drawn_from_block_means() -> None:
    page = Page(render_report(make(2, shape=(700, 1100))))
    assert "means of 3 × 3 pixels" in page.text
    geometry = page.payload["geometry"]
    assert (geometry["width"], geometry["height"]) == (367, 234)
    picture = Image.open(io.BytesIO(base64.b64decode(page.payload["pictures"][0]["png"])))
    assert picture.size == (367, 234)
    # Unmeasured pixels fill the upper third; blocks of them alone stay unmeasured.
    assert np.asarray(picture.convert("RGBA"))[:77, :, 3].max() == 0


@pytest.mark.parametrize(("shape", "n"), [((134, 260), 40), ((134, 260), 500), ((2000, 3000), 1), ((500, 500), 500)])
def test_block_factor_is_the_smallest_within_the_limits(shape: tuple[int, int], n: int) -> None:
    def fits(factor: int) -> bool:
        rows, columns = -(-shape[0] // factor), -(-shape[1] // factor)
        return max(rows, columns) <= MAX_SIDE and n * rows * columns <= MAX_PIXELS

    factor = block_factor(shape, n)
    assert fits(factor)
    assert factor == 1 or not fits(factor - 1)


def test_forty_noisy_pictures_of_a_real_size_stay_small(rng: np.random.Generator) -> None:
    assert len(render_report(make(40, candidates=40, shape=(134, 260), rng=rng))) < 2_000_000


def test_real_section_stays_small(shared_data: Callable[[str], Path]) -> None:
    stored = np.load(shared_data("ion_images/bladder79.npz"))
    images = stored["images"][:40].astype(np.float32)
    data = make(40, candidates=79, shape=(134, 260))
    assert len(render_report(dataclasses.replace(data, images=images, tic=images.sum(axis=0)))) < 1_500_000


def test_five_thousand_picks() -> None:
    data = make(5000, candidates=20_000, shape=(4, 5))
    start = time.process_time()
    html = render_report(data)
    assert time.process_time() - start < 10
    assert len(html) < 4_000_000
    page = Page(html)
    assert len(page.payload["table"]["rank"]) == 5000
    assert len(page.payload["pictures"]) == 500


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"top": 3}, (0.5, "lowest pick")),
        ({"top": 4, "min_score": 0.4}, (0.4, "minimum score")),
        ({"top": 3, "min_score": 0.4}, (0.5, "lowest pick")),
        ({"threshold": 0.45}, (0.45, "model threshold")),
        ({}, (0.5, "lowest pick")),
    ],
)
def test_cut_is_what_ended_the_list(parameters: dict[str, Any], expected: tuple[float, str]) -> None:
    frame = pd.DataFrame({"rank": [1, 2, 3], "mz": [1.0, 2, 3], "score": [0.9, 0.7, 0.5]})
    data = make(0, frame=frame, facts={"parameters": parameters})
    assert cut(data) == expected


def test_histogram_counts_every_finite_score() -> None:
    data = make(6, candidates=200)
    counts = histogram(data)
    assert counts is not None
    assert (counts["low"], counts["high"]) == (0, 1)
    assert sum(counts["all"]) == 200
    assert sum(counts["picked"]) == 6
    assert all(p <= a for p, a in zip(counts["picked"], counts["all"], strict=True))
    wide = histogram(make(all_scores=pd.DataFrame({"score": [-3.0, 12.0]}), facts={}))
    assert wide is not None
    assert (wide["low"], wide["high"]) == (-3, 12)


def test_class_counts_in_usual_order_with_unknown_classes_last() -> None:
    every = pd.DataFrame({"score": [1.0] * 5, "label": ["negative", "odd", "structured", "structured", None]})
    picks = pd.DataFrame({"rank": [1], "mz": [1.0], "score": [1.0], "label": ["structured"]})
    counts = class_counts(make(0, frame=picks, all_scores=every))
    assert [(c["class"].name, c["all"], c["picked"]) for c in counts] == [
        ("structured", 2, 1), ("negative", 1, 0), ("odd", 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("n", [20_001, 49_999, 85_000])
def test_thinned_spectrum_keeps_every_peak(n: int, rng: np.random.Generator) -> None:
    intensity = rng.random(n)
    peaks = rng.choice(n, 50, replace=False)
    intensity[peaks] += 100
    keep = thin(intensity)
    assert len(keep) <= 20_000
    assert (np.diff(keep) > 0).all()
    # Two peaks may share a run, which keeps only the higher one.
    runs = np.searchsorted(np.arange(10_000) * n // 10_000, peaks, side="right")
    expected = {max(peaks[runs == r], key=lambda i: intensity[i]) for r in set(runs)}
    assert expected <= set(keep.tolist())
    assert intensity[keep].min() == intensity.min()


def test_short_spectrum_travels_whole() -> None:
    data = make()
    sent = mean_spectrum(data)
    assert sent is not None
    assert sent["drawn"] == sent["total"] == 20
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(sent["mz"]), "<f4"), data.mean_mz.astype(np.float32))
    assert sent["sticks"]
    assert not (mean_spectrum(make(facts={})) or {})["sticks"]


def test_heights_of_picks() -> None:
    frame = pd.DataFrame({"rank": [1, 2], "mz": [2.1, 9.0], "mz_lo": [0.9, 8.0], "mz_hi": [3.0, 10.0], "score": [1, 1]})
    data = make(0, frame=frame, mean_mz=np.array([1.0, 2, 3, 4]), mean_intensity=np.array([5.0, np.nan, 7, 9]))
    assert heights_at(data) == [7, 0]
    nearest = dataclasses.replace(data, frame=frame[["rank", "mz", "score"]])
    assert heights_at(nearest) == [0, 9]


def test_height_of_a_window_between_two_points_is_that_of_the_near_one() -> None:
    mz = np.array([2.9, 3.2, 3.5, 4.5])
    frame = pd.DataFrame({"rank": np.arange(1, 5), "mz": mz, "mz_lo": mz - 0.04, "mz_hi": mz + 0.04, "score": 1.0})
    data = make(0, frame=frame, mean_mz=np.array([1.0, 2, 3, 4]), mean_intensity=np.array([5.0, 6, 7, 9]))
    assert heights_at(data) == [7, 0, 0, 0]


def test_classes_are_explained_as_everywhere_else() -> None:
    classes = Page(render_report(make())).payload["classes"]
    assert {c["name"]: c["meaning"] for c in classes} == DESCRIPTIONS


@pytest.mark.parametrize(
    ("width", "text"), [(180.0, "50 µm"), (2600, "500 µm"), (30_000, "10 mm"), (3, "1 µm"), (6, "2 µm")]
)
def test_scale_bar_has_a_round_length(width: float, text: str) -> None:
    bar = scale_bar(width)
    assert bar.text == text
    assert 0.13 < bar.fraction <= 1 / 3 + 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": pd.DataFrame({"rank": [1]})}, "lacks the columns mz, score"),
        ({"all_scores": pd.DataFrame()}, "lacks the column score"),
        ({"images": np.zeros((2, 3), np.float32)}, r"\(k, height, width\)"),
        ({"images": np.zeros((7, 12, 18), np.float32)}, "7 images for 6 picks"),
        ({"images": np.zeros((1, 5, 5), np.float32)}, "do not match a tic"),
        ({"tic": np.zeros((0, 5), np.float32)}, "and a pixel"),
        ({"mean_mz": np.zeros(3)}, "mean_mz has shape"),
        ({"pixel_size_um": (0.0, 1.0)}, "must be positive"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make(**changes)


def test_failure_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    write_report(target, make())
    before = target.read_bytes()

    def fail(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(KeyboardInterrupt):
        write_report(target, make(3))
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["report.html"]
    with pytest.raises(FileError, match="does not exist"):
        write_report(tmp_path / "none" / "report.html", make())
