"""Figures of a corpus: scores and predictions of every image, by source and pooled."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.evaluate import metrics
from ionmorphnet.evaluate.bootstrap import BootstrapOptions
from ionmorphnet.evaluate.corpus_report import BEST, CorpusReport, corpus_report
from ionmorphnet.evaluate.corpus_scores import (
    PREDICTION_COLUMNS,
    CorpusScores,
    leave_one_out,
    read_parts,
    read_predictions,
    score_corpus,
    write_predictions,
)
from ionmorphnet.labelled.corpus import Corpus
from ionmorphnet.labelled.real_images import read_real_images
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS, STATISTICS
from real_image_factory import rows_of, write_real_images

ROOT = Path(__file__).resolve().parents[2]
DRAWS = BootstrapOptions(100)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return read_real_images(write_real_images(tmp_path / "real_images"))


def statistics(corpus: Corpus) -> CorpusScores:
    return score_corpus(corpus, ev.make_methods([]))


def predicted(corpus: Corpus, classes: list[int], score: np.ndarray, threshold: float = 0.5) -> pd.DataFrame:
    frame = pd.DataFrame(0.02, index=range(len(corpus)), columns=list(PREDICTION_COLUMNS))
    for k, label in enumerate(classes):
        frame.loc[k, PROBABILITY_COLUMNS[label]] = 0.9
    return frame.assign(score=score, structure=3 * score, threshold=threshold)


def follower(corpus: Corpus) -> pd.DataFrame:
    """Predicts the class of the first pass and a score that falls with the grade in source alpha."""
    sign = np.where([item.source == "alpha" for item in corpus.items], -1.0, 1.0)
    return predicted(corpus, list(corpus.labels[0]), 0.5 + sign * (corpus.structure - 1.5) / 4)


def row_of(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_statistics_equal_those_of_single_images(corpus: Corpus) -> None:
    scores = statistics(corpus)
    assert list(scores.scores.columns) == [*STATISTICS, "intensity"]
    assert scores.predictions == {}
    one = imn.score_images(corpus[7].image, scorer="moran")["score"][0]
    assert scores.scores.loc[7, "moran"] == pytest.approx(one, abs=1e-6)
    assert scores.scores.loc[7, "intensity"] == pytest.approx(corpus[7].image.sum())


def test_models_get_the_maps_of_the_images(corpus: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
    from model_factory import write_model

    write_model(tmp_path / "m", structure=True, preprocessing="p99-area-32-mask-sample")
    maps = {
        corpus.items[k].number: np.full(corpus[k].image.shape, value, np.float32) for k, value in ((0, 1.0), (7, 0.0))
    }
    mapped = corpus.with_maps(maps)
    methods = ev.make_methods([str(tmp_path / "m")], baselines=False, precision="f32")
    found = score_corpus(mapped, methods).scores.iloc[:, 0]
    for k in (0, 1, 7):
        item = mapped[k]
        one = imn.score_images(item.image, sample=item.sample, model=tmp_path / "m", precision="f32")
        assert found[k] == pytest.approx(one["score"][0], rel=1e-3)
    without = imn.score_images(mapped[0].image, model=tmp_path / "m", precision="f32")["score"][0]
    assert found[0] != pytest.approx(without, rel=0.01)


def test_figures_of_known_predictions(corpus: Corpus) -> None:
    scores = statistics(corpus).with_model("follower", follower(corpus))
    report = corpus_report(scores, {"both": ["alpha", "beta"]}, options=DRAWS)
    labels = corpus.labels
    both = np.array([item.source != "gamma" for item in corpus.items])
    # It always agrees with the first pass, and with the second where the passes agree.
    agree = labels[0] == labels[1]
    found = row_of(report.agreement, group="both", resampled="images")
    assert found["agreement"] == pytest.approx((1 + agree[both].mean()) / 2)
    assert (found["agreed"], found["n_agreed"]) == (1.0, agree[both].sum())
    assert row_of(report.observers, group="both")["agreement"] == pytest.approx(agree[both].mean())
    assert row_of(report.ranking, group="alpha", method="follower", metric="concordance")["value"] == 0.0
    assert row_of(report.ranking, group="beta", method="follower", metric="spearman")["value"] == pytest.approx(1)
    pooled = row_of(report.ranking, group="both", method="moran", metric="concordance", resampled="images")
    expected = metrics.concordance(scores.scores["moran"][both], corpus.structure[both])
    assert pooled["value"] == pytest.approx(expected)
    # Whole sources are resampled: every draw is one source twice, or both.
    by_source = row_of(report.ranking, group="both", method="follower", metric="concordance", resampled="sources")
    assert (by_source["low"], by_source["high"]) == (0.0, 1.0)
    assert set(report.ranking.loc[report.ranking["group"] == "beta", "resampled"]) == {"images"}


def test_differences_are_paired(corpus: Corpus) -> None:
    scores = statistics(corpus)
    same = predicted(corpus, [0] * 17, scores.scores["blur"].to_numpy())
    report = corpus_report(scores.with_model("again", same).with_model("first", follower(corpus)), options=DRAWS)
    gap = row_of(report.differences, group="all images", metric="auc", first="again", second="blur", resampled="images")
    assert (gap["value"], gap["low"], gap["high"]) == (0.0, 0.0, 0.0)
    values = report.ranking[(report.ranking["group"] == "alpha") & (report.ranking["metric"] == "spearman")]
    statistic = values[values["kind"] == "classical"].set_index("method")["value"]
    best = row_of(report.differences, group="alpha", metric="spearman", first="again", second=BEST)
    assert statistic[best["second_method"]] == statistic.max()
    assert best["value"] == pytest.approx(values.set_index("method")["value"]["again"] - statistic.max())
    models = row_of(report.differences, group="beta", metric="agreement", first="first", second="again")
    agreement = report.agreement[report.agreement["group"] == "beta"].set_index("model")["agreement"]
    assert models["value"] == pytest.approx(agreement["first"] - agreement["again"])


def test_classes_confusion_and_picks(corpus: Corpus) -> None:
    always = predicted(corpus, [CLASSES.index("localized")] * 17, np.linspace(0, 1, 17), threshold=0.6)
    report = corpus_report(statistics(corpus).with_model("always", always), options=DRAWS)
    of = report.classes[report.classes["group"] == "all images"].set_index("class")
    share = (corpus.labels == CLASSES.index("localized")).mean()
    assert of.loc["localized", ["recall", "precision", "predicted"]].tolist() == [1.0, pytest.approx(share), 17]
    assert of.loc["structured", "recall"] == 0.0
    assert np.isnan(of.loc["structured", "precision"])
    confusion = report.confusion[report.confusion["group"] == "all images"].set_index("labelled")
    assert confusion["localized"].sum() == 17
    assert confusion[[name for name in CLASSES if name != "localized"]].to_numpy().sum() == 0
    picks = row_of(report.picks, group="all images")
    wanted, picked = corpus.structure >= 1.5, np.linspace(0, 1, 17) >= 0.6
    assert (picks["wanted"], picks["picked"]) == (wanted.sum(), picked.sum())
    assert picks["recall"] == pytest.approx((wanted & picked).sum() / wanted.sum())
    assert picks["precision"] == pytest.approx((wanted & picked).sum() / picked.sum())


def test_groups_without_all_scores_lack_the_model(corpus: Corpus) -> None:
    part = follower(corpus)
    part.loc[[item.source == "gamma" for item in corpus.items]] = np.nan
    report = corpus_report(statistics(corpus).with_model("part", part), options=DRAWS)
    assert set(report.agreement["group"]) == {"alpha", "beta"}
    assert set(report.picks["group"]) == {"alpha", "beta"}
    with pytest.raises(ArgumentError, match="pool 'beta' must have its own name"):
        corpus_report(statistics(corpus), {"beta": ["alpha", "beta"]})
    with pytest.raises(ArgumentError, match="there are scores of 'moran' already"):
        statistics(corpus).with_model("moran", part)


def test_predictions_are_written_and_read(corpus: Corpus, tmp_path: Path) -> None:
    frame = follower(corpus)
    scores = statistics(corpus).with_model("follower", frame)
    path = tmp_path / "follower.csv"
    write_predictions(path, scores, "follower")
    pd.testing.assert_frame_equal(read_predictions(path, corpus), frame, check_exact=False)
    written = pd.read_csv(path)
    assert written["label_a"].tolist() == [CLASSES[k] for k in corpus.labels[0]]
    assert written["blur"].to_numpy() == pytest.approx(scores.scores["blur"].to_numpy())
    # Another order, without the optional columns, as npz.
    columns = ["source", "key", "score", *PROBABILITY_COLUMNS]
    turned = {name: written[name].to_numpy()[::-1] for name in columns}
    np.savez(tmp_path / "turned.npz", **{k: v.astype(str) if v.dtype == object else v for k, v in turned.items()})
    again = read_predictions(tmp_path / "turned.npz", corpus)
    np.testing.assert_allclose(again["score"], frame["score"])
    assert again["threshold"].isna().all()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda frame: frame.drop(columns="score"), "column 'score' is missing"),
        (lambda frame: frame.iloc[1:], "lacks 1 images, such as alpha alpha_book_0#0"),
        (lambda frame: pd.concat([frame, frame.iloc[:1]]), "alpha alpha_book_0#0 is listed twice"),
        (lambda frame: frame.assign(score="x"), "could not convert"),
        (lambda frame: frame.assign(score=np.nan), "must be finite"),
    ],
)
def test_unusable_predictions_are_errors(corpus: Corpus, tmp_path: Path, change: object, cause: str) -> None:
    path = tmp_path / "a.csv"
    write_predictions(path, statistics(corpus).with_model("a", follower(corpus)), "a")
    assert callable(change)
    change(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(FileError, match=cause):
        read_predictions(path, corpus)


def test_leave_one_out_takes_each_source_from_its_part(corpus: Corpus, tmp_path: Path) -> None:
    for name, score in (("alpha", 0.1), ("rest", 0.7)):
        frame = predicted(corpus, [0] * 17, np.full(17, score))
        write_predictions(tmp_path / f"{name}.csv", statistics(corpus).with_model(name, frame), name)
    groups = {"rest": ("beta", "gamma")}
    found = leave_one_out(corpus, read_parts(tmp_path), groups=groups)
    assert found["score"].tolist() == [0.1] * 8 + [0.7] * 9
    (tmp_path / "parts.json").write_text(json.dumps({"beta": "rest.csv"}))
    found = leave_one_out(corpus, read_parts(tmp_path / "parts.json"))
    assert found["score"].notna().tolist() == [False] * 8 + [True] * 6 + [False] * 3
    with pytest.raises(ArgumentError, match="unknown source or fold 'delta'"):
        leave_one_out(corpus, {"delta": "rest.csv"})
    with pytest.raises(ArgumentError, match="source beta is held out by two models"):
        leave_one_out(corpus, {"beta": tmp_path / "rest.csv", "rest": tmp_path / "rest.csv"}, groups=groups)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="contains no model folder and no predictions"):
        read_parts(tmp_path / "empty")


def test_models_judge_the_sources_named_after_their_folders(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    folder = Path(imn.load_model().folder)
    (tmp_path / "runs" / "gamma").symlink_to(folder, target_is_directory=True)
    found = leave_one_out(corpus, read_parts(tmp_path / "runs"))
    where = [k for k, item in enumerate(corpus.items) if item.source == "gamma"]
    assert np.flatnonzero(found["score"].notna()).tolist() == where
    expected = imn.score_images(corpus[where[0]].image, precision="f32")
    assert found.loc[where[0], "score"] == pytest.approx(expected["score"][0], abs=1e-4)
    assert (found.loc[where, "threshold"] == imn.load_model().threshold).all()


def test_the_script_writes_tables_and_predictions(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        write_predictions(tmp_path / f"{name}.csv", statistics(corpus).with_model(name, follower(corpus)), name)
    (tmp_path / "loso").mkdir()
    (tmp_path / "loso" / "alpha.csv").write_bytes((tmp_path / "one.csv").read_bytes())
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    arguments = ["--data", str(tmp_path), "--sets", "real_images", "--draws", "50", "--out", str(tmp_path / "out")]
    arguments += ["--predictions", f"one={tmp_path / 'one.csv'}", "--leave-one-out", f"loso={tmp_path / 'loso'}"]
    monkeypatch.setattr(sys, "argv", ["evaluate_model.py", *arguments])
    runpy.run_path(str(ROOT / "scripts" / "evaluate_model.py"), run_name="__main__")
    text = capsys.readouterr().out
    assert text == (tmp_path / "out" / "report.md").read_text(encoding="utf-8") + "\n"
    agreement = next(line for line in text.splitlines() if line.startswith("| alpha"))
    assert "| 8 | 0.750 |" in agreement
    assert agreement.count("0.875 [") == 2  # both models
    assert len(read_predictions(tmp_path / "out" / "one.csv", corpus)) == 17
    assert len(pd.read_csv(tmp_path / "out" / "loso.csv")) == 8
    document = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert set(document["images"]) == set(CorpusReport.__annotations__)


def test_the_script_judges_calibrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of((("alpha", 1, 40, 1), ("beta", 2, 6, 1)))
    corpus = read_real_images(write_real_images(tmp_path / "real_images", rows))
    # The model calls localized what people call structured; beta has too few images.
    classes = np.where(corpus.labels[0] == 0, 2, corpus.labels[0]).tolist()
    frame = predicted(corpus, classes, np.clip(corpus.structure / 3, 0.05, 0.95))
    write_predictions(tmp_path / "a.csv", statistics(corpus).with_model("a", frame), "a")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    arguments = ["--data", str(tmp_path), "--sets", "real_images", "--labels", "20", "--draws", "2"]
    arguments += ["--predictions", f"a={tmp_path / 'a.csv'}", "--json", str(tmp_path / "draws.json")]
    monkeypatch.setattr(sys, "argv", ["evaluate_calibration.py", *arguments])
    runpy.run_path(str(ROOT / "scripts" / "evaluate_calibration.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["alpha"]
    draws = json.loads((tmp_path / "draws.json").read_text(encoding="utf-8"))["draws"]
    assert len(draws) == 2
    for draw in draws:
        assert draw["classes"]
        assert draw["agreement after"] > draw["agreement before"] + 0.05
        assert draw["C before"] == 1.0
