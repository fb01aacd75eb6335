"""``ionmorphnet evaluate``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ionmorphnet as imn
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.model import DEFAULT_MODEL
from ionmorphnet.simulation import simulate_ion_image

Run = Callable[..., object]
FAST = ("--draws", "50", "--precision", "f32")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small sets: images of different sizes, two labellings, grades."""
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(8)
    for name in ("one", "two"):
        simulated = [simulate_ion_image(rng, shape=(24 + i % 2, 30)) for i in range(12)]
        np.savez(folder / f"{name}.npz", **{f"i{i:02d}": s.image for i, s in enumerate(simulated)})
        rows = [f"{i},i{i:02d},{s.class_name},{s.class_name},{s.structure:.1f}" for i, s in enumerate(simulated)]
        (folder / f"{name}_labels.csv").write_text("\n".join(["index,key,label_a,label_b,structure", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sections")
    paths = [folder / f"s{seed}.imzML" for seed in (1, 2)]
    for seed, path in enumerate(paths):
        imn.simulate(path, shape=(24, 30), n_channels=30, mode="continuous", seed=seed)
    return paths


def test_classifier(cli: Run, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    done = cli("evaluate", "classifier", images / "one.npz", images / "two.npz", *FAST, "--json", out)
    assert done.code == 0, done
    assert "mean of sets" in done.stdout
    assert f"Confusion of {DEFAULT_MODEL} on two" in done.stdout
    document = json.loads(out.read_text())
    assert [result["dataset"] for result in document["results"]] == ["one", "two", "all images"]
    assert document["results"][2]["n"] == 24
    assert document["methods"][0]["precision"] == "f32"
    assert document["bootstrap"]["draws"] == 50


def test_ranking_with_plots(cli: Run, images: Path, tmp_path: Path) -> None:
    plots, out = tmp_path / "plots", tmp_path / "r.json"
    done = cli("evaluate", "ranking", images / "one.npz", images / "two.npz", *FAST, "--json", out, "--plots", plots)
    assert done.code == 0, done
    for word in (*STATISTICS, "intensity", "random", "mean of sets", "verdict"):
        assert word in done.stdout
    figures = json.loads(out.read_text())["figures"]
    assert {row["method"] for row in figures} >= {DEFAULT_MODEL, "moran", "random"}
    names = sorted(path.name for path in plots.iterdir())
    assert names == [
        "auc.png",
        "concordance.png",
        "grades_one.png",
        "grades_two.png",
        "precision_at_k_one.png",
        "precision_at_k_two.png",
        "spearman.png",
    ]
    for path in plots.iterdir():
        with Image.open(path) as picture:
            values = np.asarray(picture.convert("RGB"))
        assert min(values.shape[:2]) > 200
        assert len(np.unique(values @ np.array([1, 256, 65536]))) > 10, path  # something is drawn
        assert (values[[0, -1]] == 255).all(), path  # nothing is cut off
        assert (values[:, [0, -1]] == 255).all(), path


def test_classifier_and_mscf1_plots(cli: Run, images: Path, sections: list[Path], tmp_path: Path) -> None:
    done = cli("evaluate", "classifier", images / "one.npz", *FAST, "--plots", tmp_path)
    assert done.code == 0, done
    done = cli("evaluate", "mscf1", sections[0], "--no-model", *FAST, "--plots", tmp_path)
    assert done.code == 0, done
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        f"confusion_one_{DEFAULT_MODEL}.png",
        "mscf1_over_k_s1.png",
        "mscf1_s1.png",
        f"reliability_one_{DEFAULT_MODEL}.png",
    ]


def test_ranking_by_statistics_alone_and_pairs(cli: Run, images: Path, tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.csv", tmp_path / "p.json"
    pairs.write_text("better,worse\n0,1\n2,3\n")
    done = cli("evaluate", "ranking", images / "one.npz", "--no-model", "--pairs", pairs, *FAST, "--json", out)
    assert done.code == 0, done
    rows = json.loads(out.read_text())["figures"]
    assert {row["metric"] for row in rows} == {"agreement"}
    assert DEFAULT_MODEL not in {row["method"] for row in rows}
    pairs.write_text("better,lesser\n0,1\n")
    done = cli("evaluate", "ranking", images / "one.npz", "--no-model", "--pairs", pairs, *FAST)
    done.is_one_line_error("pairs.csv", "column 'worse' is missing")
    pairs.write_text("better,worse\n0,99\n")
    done = cli("evaluate", "ranking", images / "one.npz", "--no-model", "--pairs", pairs, *FAST)
    done.is_one_line_error("pairs.csv: line 2", "image 99")


def test_pairs_do_not_depend_on_the_order_of_the_labels(cli: Run, images: Path, tmp_path: Path) -> None:
    labels, pairs, out = tmp_path / "reversed.csv", tmp_path / "pairs.csv", tmp_path / "p.json"
    header, *rows = (images / "one_labels.csv").read_text().splitlines()
    pairs.write_text("better,worse\n0,1\n2,3\n9,4\n11,6\n7,5\n")
    given = ("--no-model", "--pairs", pairs, *FAST, "--json", out)
    found = []
    for order in (rows, rows[::-1]):
        labels.write_text("\n".join([header, *order]) + "\n")
        done = cli("evaluate", "ranking", images / "one.npz", "--labels", labels, *given)
        assert done.code == 0, done
        found.append(
            {r["method"]: r["value"] for r in json.loads(out.read_text())["figures"] if r["method"] != "random"}
        )
    assert found[0] == found[1]
    assert len(set(found[0].values())) > 1
    labels.write_text("\n".join([header, *rows[:4], rows[4].replace(rows[4].split(",")[2], "fuzzy"), *rows[5:]]) + "\n")
    done = cli("evaluate", "ranking", images / "one.npz", "--labels", labels, *given)
    assert done.code == 2
    assert "fuzzy" in done.stderr.splitlines()[1]
    assert f"{pairs}: line 4: image 4 (index) is not among the 11 labelled images of 'one'" in done.stderr


def test_pairs_of_a_section_by_mz(cli: Run, sections: list[Path], tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.csv", tmp_path / "p.json"
    (each,) = imn.evaluate.load_sets(sections[0])
    informative = each.structure >= 1.5
    good, poor = (np.array(each.keys)[kind][:3] for kind in (informative, ~informative))
    pairs.write_text(
        "\n".join(["better,worse", *(f"{float(a):.4f},{b}" for a, b in zip(good, poor, strict=True))]) + "\n"
    )
    done = cli("evaluate", "ranking", sections[0], "--no-model", "--pairs", pairs, *FAST, "--json", out)
    assert done.code == 0, done
    values = {row["method"]: row["value"] for row in json.loads(out.read_text())["figures"]}
    assert values["blur"] == 1.0
    pairs.write_text("better,worse\n0,1\n")
    done = cli("evaluate", "ranking", sections[0], "--no-model", "--pairs", pairs, *FAST)
    assert "pairs.csv: line 2: image '0' (key or m/z) is not among" in done.stderr


def test_ranking_of_a_simulated_section(cli: Run, sections: list[Path]) -> None:
    done = cli("evaluate", "ranking", sections[0], "--no-model", *FAST)
    assert done.code == 0, done
    assert "s1" in done.stdout


def test_mscf1_of_simulated_sections(cli: Run, sections: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "m.json"
    done = cli("evaluate", "mscf1", *sections, "--no-model", *FAST, "--json", out)
    assert done.code == 0, done
    assert "Mean over 2 sections" in done.stdout
    document = json.loads(out.read_text())
    assert [section["k"] for section in document["sections"]] == [[7] * 4, [7] * 4]  # a quarter of the channels
    assert {row["method"] for row in document["mean"]} == {*STATISTICS, "intensity", "reference", "random"}
    done = cli("evaluate", "mscf1", *sections, *FAST, "--json", out)
    assert done.code == 0, done
    assert f"s1, default cut of {DEFAULT_MODEL}" in done.stdout
    cuts = json.loads(out.read_text())["default_cuts"][DEFAULT_MODEL]
    picked = imn.pick(sections[0], precision="f32").to_frame()
    assert cuts[0]["k"] == [len(picked)] * 4
    assert {"random", "moran"} < {row["method"] for row in cuts[0]["methods"]}
    done = cli("evaluate", "mscf1", sections[0], "-k", 5, "--rule", "strict", "--threshold", 0.4, *FAST, "--json", out)
    assert done.code == 0, done
    document = json.loads(out.read_text())
    assert "default_cuts" not in document
    assert document["sections"][0]["k"] == [5]
    assert document["sections"][0]["thresholds"] == [0.4]


def test_mscf1_of_given_picks(cli: Run, sections: list[Path], tmp_path: Path) -> None:
    picks, out = tmp_path / "picks.csv", tmp_path / "m.json"
    truth = np.loadtxt(sections[0].with_name("s1_truth.csv"), delimiter=",", skiprows=1, usecols=0)
    picks.write_text("mz\n" + "\n".join(map(str, truth[:6])) + "\n5000\n")
    done = cli("evaluate", "mscf1", sections[0], "--picked", picks, *FAST, "--json", out)
    assert done.code == 0, done
    assert "warning: s1: 1 of 7 picked m/z lie more than 100 ppm" in done.stderr
    found = json.loads(out.read_text())["picked"]["s1"]["picks.csv"]
    assert (found["n_picked"], found["n_far"]) == (7, 1)
    assert "recall by class" in done.stdout


def test_unusable_outputs_are_reported_before_the_work(
    cli: Run, images: Path, sections: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    for name in ("make_methods", "open_bins", "score_set"):
        monkeypatch.setattr(imn.evaluate, name, no_work)
    one, missing = images / "one.npz", tmp_path / "no" / "x.json"
    for command, file in (("classifier", one), ("ranking", one), ("mscf1", sections[0])):
        cli("evaluate", command, file, "--json", missing).is_one_line_error(f"{missing}: the folder", "does not exist")
        cli("evaluate", command, file, "--json", tmp_path).is_one_line_error("is a folder")
        (tmp_path / "file").write_text("")
        cli("evaluate", command, file, "--plots", tmp_path / "file" / "p").is_one_line_error("file: is a file")
    assert not missing.parent.exists()
    for name in ("d1", "d2"):
        (tmp_path / name).mkdir()
        for suffix in (".npz", "_labels.csv"):
            shutil.copy(images / f"one{suffix}", tmp_path / name / f"one{suffix}")
    twice = (tmp_path / "d1" / "one.npz", tmp_path / "d2" / "one.npz")
    for command in ("classifier", "ranking", "mscf1"):
        cli("evaluate", command, *twice).is_one_line_error("dataset names must be unique; repeated or reserved: one")
    picks = tmp_path / "picks.csv"
    picks.write_text("mz\n500\n")
    for unused in (("--plots", tmp_path / "p"), ("--model", "atto-sim-3"), ("--scorer", "moran"), ("-k", 0)):
        done = cli("evaluate", "mscf1", sections[0], "--picked", picks, *unused)
        done.is_one_line_error(unused[0], "which --picked replaces")
    assert not (tmp_path / "p").exists()


def test_bad_inputs(
    cli: Run, images: Path, sections: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = images / "one.npz"
    cli("evaluate", "ranking", images / "no.npz").is_one_line_error("no.npz", "file or folder not found")
    cli("evaluate", "classifier", one, "--labels", tmp_path / "no.csv").is_one_line_error("no.csv")
    cli("evaluate", "classifier", one, one, "--labels", one).is_one_line_error("1 label files for 2 sets")
    cli("evaluate", "ranking", one, one, "--no-model").is_one_line_error("names must be unique", "one")
    cli("evaluate", "ranking", one, "--no-model", "--model", "x").is_one_line_error(
        "--no-model and --model exclude each other"
    )
    cli("evaluate", "ranking", one, "--no-model", "--no-baselines").is_one_line_error("nothing to evaluate")
    cli("evaluate", "ranking", one, "--model", "nothing").is_one_line_error("nothing", "bundled")
    cli("evaluate", "mscf1", one).is_one_line_error("one.npz", "mz")
    cli("evaluate", "mscf1", sections[0], "--mask", tmp_path / "m.npy").is_one_line_error("m.npy")
    cli("evaluate", "mscf1", sections[0], "-k", 9999, "--no-model").is_one_line_error("k must be")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    cli("evaluate", "classifier", one, "--labels", empty).is_one_line_error("empty.csv")
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("index,label\n0,structured\n1,fuzzy\n")
    done = cli("evaluate", "classifier", one, "--labels", unknown, *FAST)
    assert done.code == 0, done
    assert "line 3" in done.stderr
    assert "fuzzy" in done.stderr
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    cli("evaluate", "ranking", one, "--plots", tmp_path / "p").is_one_line_error("ionmorphnet[plots]")
    assert not (tmp_path / "p").exists()
