from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import Done
from tumor_cohorts import MZ, write_cohort, write_section

pytest.importorskip("torch", reason="needs the extra [tumor]")
pytest.importorskip("sklearn", reason="needs the extra [tumor]")

Cli = Callable[..., Done]
MAP = ("--labels", "1=normal,2=tumor")
NETWORK = ("--method", "cnn3d")
SHORT = ("--size", 3, "--steps", 4, "--batch", 8, "--threads", 1, "--top", 5)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), patients=3)


def test_train_predict_explain(cli: Cli, listed: Path, tmp_path: Path) -> None:
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    run = tmp_path / "run"
    done = cli("tumor", "train", listed, *MAP, "-o", run, *NETWORK, "--channels", "moran", *SHORT)
    assert done.code == 0, done
    assert "5 channels, 3 x 3 pixels" in done.stdout
    assert "held-out patient " in done.stdout
    assert cli("tumor", "train", listed, *MAP, "-o", run, "--no-resume", *NETWORK, *SHORT).code == 2
    new = tmp_path / "new.imzML"
    write_section(new, np.random.default_rng(5))
    done = cli("tumor", "predict", run / "model", new, "-o", tmp_path / "out", "--format", "npz,png,h5ad")
    assert done.code == 0, done
    changed = ("--adapt", "prior", "--smooth", "crf", "--format", "npz")
    done = cli("tumor", "predict", run / "model", new, "-o", tmp_path / "smooth", *changed)
    assert done.code == 0, done
    with np.load(tmp_path / "out" / "new.npz") as one, np.load(tmp_path / "smooth" / "new.npz") as other:
        assert np.nanmax(np.abs(one["probabilities"] - other["probabilities"])) > 0.01
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new.h5ad", "new.npz", "new.png"]
    done = cli(
        "tumor", "explain", run / "model", listed, *MAP, "-o", tmp_path / "i.csv", "--pixels", 20, "--plots", tmp_path
    )
    assert done.code == 0, done
    assert len(pd.read_csv(tmp_path / "i.csv")) == 5
    assert (tmp_path / "importance.png").stat().st_size > 5000
    bad = tmp_path / "bad.imzML"
    bad.write_text("no imzML")
    done = cli("tumor", "predict", run / "model", bad, new, "-o", tmp_path / "two")
    assert done.code == 1
    assert "bad.imzML" in done.stderr
    cli("tumor", "predict", run / "model", bad, "-o", tmp_path / "two").is_one_line_error("bad.imzML")
    cli("tumor", "predict", run / "model", new, "-o", tmp_path, "--format", "tif").is_one_line_error("tif")
    cli("tumor", "predict", listed.parent, new, "-o", tmp_path).is_one_line_error("config.json is missing")
    keep_predictions_apart(cli, run / "model", tmp_path)


def keep_predictions_apart(cli: Cli, model: Path, folder: Path) -> None:
    """Sections of one name, in one call and in two."""
    sections = [folder / "study" / patient / "s.imzML" for patient in ("p1", "p2")]
    for seed, path in enumerate(sections):
        path.parent.mkdir(parents=True)
        write_section(path, np.random.default_rng(seed))
    formats = ("--format", "npz,png,h5ad")
    done = cli("tumor", "predict", model, *sections, "-o", folder / "both", *formats)
    assert done.code == 0, done
    found = {path.relative_to(folder / "both").as_posix() for path in (folder / "both").rglob("s.*")}
    assert found == {f"{patient}/s.{kind}" for patient in ("p1", "p2") for kind in ("npz", "png", "h5ad")}
    done = cli("tumor", "predict", model, folder / "study", "-o", folder / "whole", "--format", "npz")
    assert done.code == 0, done
    assert (folder / "whole" / "p2" / "s.npz").is_file()
    for kind in ("npz", "png", "h5ad"):
        out = folder / f"only {kind}"
        assert cli("tumor", "predict", model, sections[0], "-o", out, "--format", kind).code == 0
        before = (out / f"s.{kind}").read_bytes()
        done = cli("tumor", "predict", model, sections[1], "-o", out, "--format", kind)
        done.is_one_line_error(f"s.{kind}: holds the prediction of {sections[0]}; choose another folder or pass --over")
        assert (out / f"s.{kind}").read_bytes() == before
        assert cli("tumor", "predict", model, sections[0], "-o", out, "--format", kind).code == 0
        assert cli("tumor", "predict", model, sections[1], "-o", out, "--format", kind, "--overwrite").code == 0
        assert cli("tumor", "predict", model, sections[1], "-o", out, "--format", kind).code == 0


def test_given_channels_are_used_as_they_are(cli: Cli, listed: Path, tmp_path: Path) -> None:
    given = ("--mz", ",".join(map(str, MZ)), "--ppm", 20)
    short = SHORT[:-2]
    for name, asked, channels in (("a", (), 20), ("b", ("--top", 4, "--channels", "moran"), 4)):
        done = cli("tumor", "train", listed, *MAP, "-o", tmp_path / name, *NETWORK, *given, *asked, *short)
        assert done.code == 0, done
        assert f"{channels} channels, 3 x 3 pixels" in done.stdout
        kind = "moran" if asked else "all"
        evaluate = ("tumor", "evaluate", listed, *MAP, "-o", tmp_path / f"{name}e", "--method", "lda", "--draws", 20)
        done = cli(*evaluate, *given, *asked, *short)
        assert done.code == 0, done
        assert f"{kind}: {channels} channels, 3 sections" in done.stdout


def test_evaluate(cli: Cli, listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    methods = ("--method", "pls-texture", "--method", "cnn3d", "--channels", "moran", "--ablation", "random")
    smooth = ("--smooth", "none", "--smooth", "gaussian", "--standardize", "robust")
    done = cli(
        "tumor",
        "evaluate",
        listed,
        *MAP,
        "-o",
        out,
        *methods,
        *smooth,
        *SHORT,
        "--draws",
        50,
        "--plots",
        tmp_path / "p",
    )
    assert done.code == 0, done
    assert "moran: 5 channels, 3 sections" in done.stdout
    assert "pls-texture minus method" in done.stdout
    assert {path.name for path in out.iterdir()} == {
        "plan.json",
        "scores.csv",
        "folds",
        "table.csv",
        "by_section.csv",
        "by_patient.csv",
        "report.json",
    }
    assert len(pd.read_csv(out / "table.csv")) == 8
    assert "cnn3d+gaussian" in done.stdout
    assert {"balanced_accuracy.png", "roc_moran.png", "confusion_moran.png"} <= {
        path.name for path in (tmp_path / "p").iterdir()
    }


def test_wrong_use_is_one_line(cli: Cli, listed: Path, tmp_path: Path) -> None:
    evaluate = ("tumor", "evaluate", listed, *MAP, "-o", tmp_path / "x")
    cli(*evaluate, "--method", "magic").is_one_line_error("magic")
    cli(*evaluate, "--mz", "200,300", "--picks", "p.csv").is_one_line_error("--mz and --picks")
    cli(*evaluate, "--mz", "200,300").is_one_line_error("ppm")
    cli("tumor", "evaluate", tmp_path / "gone.csv", "-o", tmp_path / "x").is_one_line_error("gone.csv")
    train = ("tumor", "train", listed, *MAP, "-o", tmp_path / "x")
    cli(*train, "--size", 5, "--batch", 8).is_one_line_error("size, recipe: for method cnn3d only; leave out")
    cli(*train, "--no-validation").is_one_line_error("validate: for method cnn3d only")
    cli(*train, "--method", "boosting").is_one_line_error("method must be one of lda,")
    cli("tumor", "train", listed, "--labels", "1=a", "-o", tmp_path / "x").is_one_line_error("two classes")
    assert cli(*train, *NETWORK, "--mz", "200,300", "--ppm", 5, "--size", 4).code == 2


def test_simulate(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "tumor", "simulate", tmp_path / "c", "--patients", 2, "--sections", 1, "--shape", 24, 26, "--channels", 20
    )
    assert done.code == 0, done
    assert "2 sections, 20 channels" in done.stdout
    assert (tmp_path / "c" / "cohort.csv").is_file()
