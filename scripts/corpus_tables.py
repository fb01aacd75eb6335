"""Markdown tables of a :class:`~ionmorphnet.evaluate.corpus_report.CorpusReport`."""

from __future__ import annotations

import math

import pandas as pd

from ionmorphnet.evaluate.corpus_report import BEST, IMAGES, SOURCES, CorpusReport

METRICS = {"concordance": "C", "spearman": "Spearman", "auc": "AUC"}


def tables(report: CorpusReport) -> dict[str, pd.DataFrame]:
    """All tables by title, without those that have no rows."""
    found = {
        "Classes: agreement with the labels": agreement_table(report),
        "Classes: recall / precision (labelled / predicted)": class_table(report),
        **{f"Confusion, {name}": table for name, table in confusion_tables(report).items()},
        "Ranking by structure; best statistic in bold": ranking_table(report),
        "Ranking: models minus statistics": difference_table(report),
        "Models compared with each other": model_table(report),
        "Picks at the default cut, for grade >= 1.5": pick_table(report),
    }
    return {title: table for title, table in found.items() if len(table)}


def agreement_table(report: CorpusReport) -> pd.DataFrame:
    """One row per group: agreement of the passes, and of each model with them."""
    rows = []
    for seen in report.observers.to_dict("records"):
        row = {"images": seen["group"], "n": seen["n"], "observers": number(seen["agreement"])}
        of_group = _rows(report.agreement, group=seen["group"])
        for each in of_group.to_dict("records"):
            name = each["model"]
            if each["resampled"] == IMAGES:
                row[name] = interval(each, "agreement")
                row[f"{name}, where observers agree"] = f"{number(each['agreed'])} ({each['n_agreed']})"
            else:
                row[name] += f", sources {interval(each, 'agreement').partition(' ')[2]}"
        rows.append(row)
    return pd.DataFrame(rows) if len(report.agreement) else pd.DataFrame()


def class_table(report: CorpusReport) -> pd.DataFrame:
    """One row per group and model, one column per class."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for each in report.classes.to_dict("records"):
        row = rows.setdefault((each["group"], each["model"]), {"images": each["group"], "model": each["model"]})
        counts = f"({each['count']:g} / {each['predicted']})"
        row[each["class"]] = f"{number(each['recall'], 2)} / {number(each['precision'], 2)} {counts}"
    return pd.DataFrame(list(rows.values()))


def confusion_tables(report: CorpusReport) -> dict[str, pd.DataFrame]:
    """Labelled class by predicted class, for the pools; for every group if there is no pool."""
    if not len(report.confusion):
        return {}
    groups = list(dict.fromkeys(_rows(report.ranking, resampled=SOURCES)["group"]))
    groups = groups or list(dict.fromkeys(report.confusion["group"]))
    found = {}
    for group in groups:
        for name in dict.fromkeys(_rows(report.confusion, group=group)["model"]):
            table = _rows(report.confusion, group=group, model=name).drop(columns=["group", "model"])
            found[f"{group}, {name}"] = table.rename(columns={"labelled": "labelled \\ predicted"})
    return found


def ranking_table(report: CorpusReport) -> pd.DataFrame:
    """One row per group and metric, one column per method."""
    rows = []
    for seen in report.observers.to_dict("records"):
        for metric, title in METRICS.items():
            of_metric = _rows(report.ranking, group=seen["group"], metric=metric, resampled=IMAGES)
            if of_metric["value"].isna().all():
                continue
            row = {"images": seen["group"], "n": seen["n"], "figure": title, "observers": number(seen.get(metric))}
            best = _rows(of_metric, kind="classical")["value"].max()
            for each in of_metric.to_dict("records"):
                is_best = each["kind"] == "classical" and each["value"] == best
                text = interval(each, "value") if each["kind"] == "model" else number(each["value"])
                row[each["method"]] = f"**{text}**" if is_best else text
            rows.append(row)
    return pd.DataFrame(rows)


def difference_table(report: CorpusReport) -> pd.DataFrame:
    """Each model minus the best statistic of each group, and minus every statistic for the pools."""
    rows = []
    models = dict.fromkeys(report.agreement["model"]) if len(report.agreement) else {}
    for each in report.differences.to_dict("records"):
        if each["metric"] not in METRICS or each["second"] in models or math.isnan(each["value"]):
            continue
        second = each["second_method"]
        rows.append(
            {
                "images": each["group"],
                "figure": METRICS[each["metric"]],
                "model": each["first"],
                "minus": f"{second} (best)" if each["second"] == BEST else second,
                "resampled": each["resampled"],
                "difference": interval(each, "value"),
            }
        )
    return pd.DataFrame(rows)


def model_table(report: CorpusReport) -> pd.DataFrame:
    """Paired differences between models."""
    if not len(report.agreement):
        return pd.DataFrame()
    models = set(report.agreement["model"])
    return pd.DataFrame(
        [
            {
                "images": each["group"],
                "figure": METRICS.get(each["metric"], "class agreement"),
                "first": each["first"],
                "minus": each["second"],
                "resampled": each["resampled"],
                "difference": interval(each, "value"),
            }
            for each in report.differences.to_dict("records")
            if each["second"] in models and not math.isnan(each["value"])
        ]
    )


def pick_table(report: CorpusReport) -> pd.DataFrame:
    """Recall and precision at the default cut."""
    rows = [
        {
            "images": each["group"],
            "model": each["model"],
            "n": each["n"],
            "grade >= 1.5": each["wanted"],
            "picked": each["picked"],
            "recall": number(each["recall"]),
            "precision": number(each["precision"]),
        }
        for each in report.picks.to_dict("records")
    ]
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """Format a markdown table."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    for _, row in table.iterrows():
        lines.append("| " + " | ".join("" if pd.isna(value) else str(value) for value in row) + " |")
    return "\n".join(lines)


def number(value: object, digits: int = 3) -> str:
    """Format a number; a dash if it is missing or undefined."""
    if not isinstance(value, float) or math.isnan(value):
        return "-"
    return f"{value:.{digits}f}"


def interval(row: dict[str, object], value: str) -> str:
    """Format a value with its interval, if it has one."""
    text = number(row[value])
    low, high = number(row["low"]), number(row["high"])
    return text if "-" in (text, low) else f"{text} [{low}, {high}]"


def _rows(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return frame
