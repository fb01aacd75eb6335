"""Tables of a study: right means, names and classes, for Excel, R, SCiLS Lab and METASPACE."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.cohort import find_consensus, write_matrix, write_tables
from ionmorphnet.cohort.carried import carried_columns
from ionmorphnet.cohort.consensus_files import read_consensus
from study_factory import FORMULAS, IDS, IONS, LABELS, NAMES, SHAPES, true_means, write_study

pytest.importorskip("zarr")
pytest.importorskip("anndata")
LISTS = ("scils", "metaspace")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_study(tmp_path_factory.mktemp("tables"))
    find_consensus(out, min_share=0.5)
    write_matrix(out)
    return out


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    """A study that a test may change."""
    return Path(shutil.copytree(study, tmp_path / "out"))


def test_means_are_those_of_the_measured_pixels(study: Path, tmp_path: Path) -> None:
    done = write_tables(study, to=tmp_path, formats="csv")
    truth = true_means(study.parent)
    wide = pd.read_csv(tmp_path / "means_wide.csv", keep_default_na=False)
    assert wide["section"].tolist() == ["a", "b/one", "c", "d"]
    assert wide["n_pixels"].tolist() == [height * width for height, width in SHAPES]
    assert wide["normalize"].tolist() == ["none"] * 4
    channels = [name for name in wide if name.startswith("mz_")]
    assert channels == [f"mz_{mz:.6f}" for mz in IONS]
    np.testing.assert_allclose(wide[channels], truth, rtol=1e-6)
    long = pd.read_csv(tmp_path / "means.csv", keep_default_na=False, float_precision="round_trip")
    np.testing.assert_allclose(long["mean"].to_numpy().reshape(4, 6), truth, rtol=1e-6)
    # A column of the samples that has the name of one of ours is kept under another.
    assert long.columns.tolist() == [
        *("section", "sample", "patient", "group", "sample_mean", "batch", "x", "status", "n_pixels", "normalize"),
        *("channel", "mz", "name", "mean", "present", "picked"),
    ]
    assert long["sample_mean"].tolist()[::6] == ["x", "y", "z", "z"]
    assert long["present"].all()
    assert long.groupby("section")["picked"].sum().tolist() == [3] * 4
    pd.testing.assert_frame_equal(done.means.astype(str), long.astype(str))
    channels_table = pd.read_csv(tmp_path / "channels.csv", keep_default_na=False)
    assert channels_table["related"][2].startswith("13C isotope of channel 2 (m/z 300.1000, correlation 1.00")


def test_means_of_patients(study: Path, tmp_path: Path) -> None:
    write_tables(study, to=tmp_path, formats="csv")
    truth = true_means(study.parent)
    wide = pd.read_csv(tmp_path / "patients_wide.csv")
    assert wide["patient"].tolist() == ["p0", "p1"]  # d has none
    assert wide["group"].tolist() == ["control", "tumour"]
    assert "batch" not in wide  # differs between the sections of p0
    assert wide["n_sections"].tolist() == [2, 1]
    assert wide["n_pixels"].tolist() == [250, 108]
    np.testing.assert_allclose(wide.filter(like="mz_"), [truth[:2].mean(axis=0), truth[2]], rtol=1e-6)
    long = pd.read_csv(tmp_path / "patients.csv")
    pixels = (120 * truth[0] + 130 * truth[1]) / 250
    np.testing.assert_allclose(long["mean_pixels"][:6], pixels, rtol=1e-6)


def test_parquet_holds_the_same(study: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    done = write_tables(study, to=tmp_path, formats=["parquet"])
    names = sorted(done.files)
    assert names == [
        *("channels.parquet", "means.parquet", "means_wide.parquet", "patients.parquet", "patients_wide.parquet"),
        "tables.json",
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "means.parquet"), done.means)


def test_r_reads_numbers_truth_values_and_names(study: Path, tmp_path: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("needs R")
    write_tables(study, to=tmp_path, formats="csv")
    script = """
    long <- read.csv("means.csv"); wide <- read.csv("means_wide.csv"); channels <- read.csv("channels.csv")
    stopifnot(is.numeric(long$mean), is.logical(long$present), is.logical(long$picked), is.numeric(long$mz))
    stopifnot(identical(names(wide)[11], "mz_200.000000"), all(sapply(wide[11:16], is.numeric)))
    fit <- lm(mean ~ group, data = long[long$channel == 1, ])
    cat(format(mean(long$mean), digits = 12), nrow(channels), length(coef(fit)))
    """
    run = subprocess.run(["Rscript", "-e", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    mean, rows, coefficients = run.stdout.split()
    assert float(mean) == pytest.approx(true_means(study.parent).mean(), rel=1e-6)
    assert (rows, coefficients) == ("6", "2")


def test_names_of_the_list_stand_in_all_tables(study: Path, tmp_path: Path) -> None:
    done = write_tables(study, to=tmp_path, formats=("csv", *LISTS))
    table = done.channels
    assert table["Name"].tolist() == NAMES
    assert table["id"].tolist() == IDS  # not 7, 8, 9
    assert table["Formula"].tolist() == FORMULAS
    again = read_consensus(study / "consensus").channels
    assert again["Name"].tolist() == NAMES
    assert again["id"].tolist() == IDS
    assert done.means["name"].tolist()[:6] == NAMES
    assert any("takes no such formulas: C5H5+" in note for note in done.notes)
    import anndata

    var = anndata.read_zarr(study / "cohort.zarr").var
    assert var["Name"].tolist() == NAMES


def test_lists_for_other_programs_are_read_again(study: Path, tmp_path: Path) -> None:
    write_tables(study, to=tmp_path, formats=LISTS)
    found = read_consensus(study / "consensus")
    for path, section in ((tmp_path / "scils.csv", None), (tmp_path / "scils/b/one.csv", 1)):
        assert path.read_text().splitlines()[2] == "m/z;Interval Width (+/- Da);Color;Name"
        axis, own = imn.CandidateAxis.from_csv(path), found.axis(section)
        np.testing.assert_allclose(axis.mz_lo, own.mz_lo, atol=2e-7)
        np.testing.assert_allclose(axis.mz_hi, own.mz_hi, atol=2e-7)
        assert axis.columns["Name"].tolist() == [name.replace(";", ",") for name in NAMES]
    with pytest.warns(UserWarning, match="4 rows of the list are 3 channels"):
        axis = imn.CandidateAxis.from_csv(tmp_path / "metaspace.tsv")
    np.testing.assert_allclose(axis.mz, IONS[[0, 1, 5]], rtol=1e-12)
    np.testing.assert_array_equal(axis.mz_hi, found.channels["mz_hi"][[0, 1, 5]])
    compounds = pd.read_csv(tmp_path / "metaspace.tsv", sep="\t", dtype=str)
    assert compounds.columns.tolist()[:3] == ["id", "name", "formula"]
    assert compounds["name"].tolist() == ["=cmd()", "PC 34:1", "PE 37:1", "Omega"]
    assert compounds["formula"].tolist() == ["C10H12", "C42H82NO8P", "C42H82NO8P", "C6H6"]
    assert compounds["id"].tolist() == ["007", "008", "008", "012"]


def test_the_workbook(study: Path, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    write_tables(study, to=tmp_path, formats="xlsx", exclude="unstructured")
    book = openpyxl.load_workbook(tmp_path / "study.xlsx")
    assert book.sheetnames == ["About", "Channels", "Sections", "Means", "Patients"]
    channels = book["Channels"]
    assert channels.freeze_panes == "C2"
    header = [cell.value for cell in channels[1]]
    assert header[:5] == ["Channel", "m/z", "Name", "Formula", "id"]
    row = dict(zip(header, channels[2], strict=True))
    assert (row["m/z"].value, row["m/z"].number_format) == (pytest.approx(200.0), "0.0000")
    # A name that looks like a formula is a text, and stays one when it is edited.
    assert (row["Name"].value, row["Name"].data_type, row["Name"].quotePrefix) == ("=cmd()", "s", True)
    assert all(cell.data_type != "f" for sheet in book for line in sheet.iter_rows() for cell in line)
    assert (row["Present in (%)"].value, row["Present in (%)"].number_format) == (1, "0%")
    means = book["Means"]
    assert means.freeze_panes == "B3"
    titles = [cell.value for cell in means[2]]
    assert titles[-5:] == [f"m/z {mz:.4f}" for mz in IONS[:5]]
    assert [cell.value for cell in means[1]][-5:-1] == NAMES[:4]
    values = [[cell.value for cell in line][-5:] for line in means.iter_rows(min_row=3)]
    np.testing.assert_allclose(values, true_means(study.parent)[:, :5], rtol=1e-6)
    assert means.cell(3, len(titles)).number_format == "#,##0"
    sections = [[cell.value for cell in line] for line in book["Sections"].iter_rows(min_row=2)]
    assert [line[0] for line in sections] == ["a", "b/one", "c", "d", "e"]
    titles = [cell.value for cell in book["Sections"][1]]
    assert titles[:9] == ["Section", "Sample", "Patient", "Group", "Mean", "Batch", "X", "Sample status", "Status"]
    failed = dict(zip(titles, sections[-1], strict=True))
    assert (failed["Patient"], failed["Status"], failed["Sample status"]) == ("p1", "failed", "s")
    assert "absent.imzML: no such file" in failed["Reason"]
    about = [[cell.value for cell in line] for line in book["About"].iter_rows()]
    facts = {line[0]: line[1] for line in about[1:9]}
    assert facts["Left out by class"] == "1 unstructured, of 6"
    assert facts["Normalisation"] == "not normalised"
    assert facts["Sections with means"] == "4 of 5"
    explained = {(line[0], line[1]) for line in about}
    assert {("Channels", title) for title in header} <= explained


def test_classes_are_left_out_everywhere(study: Path, tmp_path: Path) -> None:
    done = write_tables(study, to=tmp_path, exclude=["negative", "localized"], formats=("csv", *LISTS))
    kept = [k for k, label in enumerate(LABELS) if label not in ("negative", "localized")]
    assert done.excluded == {"negative": 2, "localized": 1}
    assert done.channels["channel"].tolist() == [k + 1 for k in kept]
    assert pd.read_csv(tmp_path / "means.csv")["channel"].unique().tolist() == [k + 1 for k in kept]
    assert imn.CandidateAxis.from_csv(tmp_path / "scils.csv").mz == pytest.approx(IONS[kept])
    wide = pd.read_csv(tmp_path / "means_wide.csv").filter(like="mz_")
    np.testing.assert_allclose(wide, true_means(study.parent)[:, kept], rtol=1e-6)
    record = json.loads((tmp_path / "tables.json").read_text())
    assert record["excluded"] == {"negative": 2, "localized": 1}
    assert (record["n_channels"], record["n_channels_of_consensus"]) == (3, 6)
    with pytest.raises(imn.ArgumentError, match="unknown class 'negativ'; known: structured"):
        write_tables(study, to=tmp_path, exclude="negativ", formats="csv")
    with pytest.raises(imn.ArgumentError, match="no channel is left; all 6 are structured or localized or"):
        write_tables(study, exclude=imn.CLASSES[:1] + imn.CLASSES[2:], formats="csv")


def test_what_is_not_there_yet(study: Path, copy: Path) -> None:
    shutil.rmtree(copy / "matrix")
    with pytest.raises(
        imn.FileError, match=r"no section has means \(not in the matrix\); run ionmorphnet cohort matri"
    ):
        write_tables(copy, formats="csv")
    assert not (copy / "tables").exists()
    assert len(write_tables(copy, formats=LISTS).channels) == 6  # lists need no means
    shutil.copytree(study / "matrix/a.zarr", copy / "matrix/a.zarr")
    done = write_tables(copy, formats="csv", overwrite=True)
    assert done.means["section"].unique().tolist() == ["a"]
    assert (
        "3 sections have no means (not in the matrix): b/one, c, d; run ionmorphnet cohort matrix again" in done.notes
    )
    assert "1 section failed: e" in done.notes
    find_consensus(copy, min_share=0.5, lock_masses=[200.0004])
    with pytest.raises(imn.FileError, match="extracted with another consensus"):
        write_tables(copy, formats="csv")
    shutil.rmtree(copy / "consensus")
    with pytest.raises(imn.FileError, match="holds no complete consensus; make it with ionmorphnet cohort consensus"):
        write_tables(copy, formats="csv")


def test_sections_on_different_scales_are_refused(copy: Path) -> None:
    shutil.move(copy / "matrix/a.zarr", copy / "a.zarr")
    write_matrix(copy, normalize="tic")
    assert write_tables(copy, formats="csv").normalize == "tic"
    shutil.rmtree(copy / "matrix/a.zarr")
    shutil.move(copy / "a.zarr", copy / "matrix/a.zarr")
    with pytest.raises(imn.FileError, match=r"on different scales \(none, tic\); run ionmorphnet cohort matrix to its"):
        write_tables(copy, formats="csv")


def test_nothing_of_others_is_replaced(copy: Path) -> None:
    first = write_tables(copy, formats="csv")
    assert not first.already_done
    again = write_tables(copy, formats="csv")
    assert again.already_done
    # Other settings replace what is as it was written, and remove what is no more.
    fewer = write_tables(copy, formats=("csv", "scils"), exclude="negative")
    assert not fewer.already_done
    write_tables(copy, formats="csv", exclude="negative")
    assert not (copy / "tables/scils.csv").exists()
    edited = copy / "tables/means.csv"
    edited.write_text(edited.read_text() + "my notes\n")
    with pytest.raises(
        imn.FileError, match=r"means\.csv: is not as ionmorphnet wrote it and would be replaced; move it"
    ):
        write_tables(copy, formats="csv")
    assert edited.read_text().endswith("my notes\n")
    with pytest.raises(imn.FileError, match=r"means\.csv"):  # nor is it removed as a table that is no more
        write_tables(copy, formats="scils")
    write_tables(copy, formats="csv", overwrite=True)
    assert not edited.read_text().endswith("my notes\n")
    other = copy / "other"
    other.mkdir()
    (other / "channels.csv").write_text("mine")
    with pytest.raises(imn.FileError, match=r"channels\.csv"):
        write_tables(copy, formats="csv", to=other)
    assert [path.name for path in other.iterdir()] == ["channels.csv"]


def test_a_run_that_was_stopped_is_repeated(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(copy, formats="csv")
    replace, moved = Path.replace, []

    def stopped(self: Path, target: Path) -> Path:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            write_tables(copy, formats="csv", exclude="negative")
    assert len(moved) == 2
    done = write_tables(copy, formats="csv", exclude="negative")
    assert not done.already_done
    assert len(pd.read_csv(copy / "tables/channels.csv")) == 4
    assert sorted(path.name for path in (copy / "tables").iterdir()) == sorted(done.files)


def test_sections_of_a_list_with_names_are_picked_once(study: Path) -> None:
    options = {"scorer": "moran", "top": 3, "spectrum_type": "centroid"}
    done = imn.cohort.run(study.parent / "samples.csv", study, axis=listed(study, "list.tsv"), jobs=1, **options)
    assert [each.action for each in done.planned] == ["skip"] * 4 + ["fail"]
    for name, action in (("list.tsv", "skip"), ("other.tsv", "pick")):
        (study.parent / "other.tsv").write_text((study.parent / "list.tsv").read_text().replace("Omega", "Psi"))
        planned = imn.cohort.plan(study.parent / "samples.csv", study, axis=listed(study, name), **options)
        assert [each.action for each in planned] == [action] * 4 + ["fail"]


def listed(study: Path, name: str) -> imn.CandidateAxis:
    return imn.CandidateAxis.from_csv(study.parent / name)


def test_carried_columns() -> None:
    members = np.array([[0, 1, -1], [1, 0, -1], [0, -1, 1]])
    a = {"Name": np.array(["A", "B"], object), "id": np.array(["007", "008"], object), "n": np.array([1.0, np.nan])}
    b = {"Name": np.array(["B", "A"], object), "id": np.array(["008", "007"], object), "n": np.array([2.5, 1.0])}
    c = {"Name": np.array(["Ax", "C"], object), "votes": np.array([3.0, 4.0])}
    table = carried_columns(members, [a, b, c], ("votes",))
    assert table["Name"].tolist() == ["A; Ax", "B", "C"]  # what most sections have comes first
    assert table["id"].tolist() == ["007", "008", ""]
    np.testing.assert_array_equal(table["n"], [1.0, 2.5, np.nan])
    np.testing.assert_array_equal(table["list_votes"], [3.0, np.nan, 4.0])
    assert carried_columns(members, [{}, {}, {}], ()).shape == (3, 0)


def test_stores_tell_the_scores_of_the_consensus(copy: Path) -> None:
    anndata = pytest.importorskip("anndata")
    before = (copy / "matrix/a.zarr/var/.zattrs").stat().st_mtime_ns
    write_matrix(copy)
    assert (copy / "matrix/a.zarr/var/.zattrs").stat().st_mtime_ns == before
    for table in copy.glob("sections/**/scores.csv"):  # as after picks with another model, the windows as they were
        frame = pd.read_csv(table, dtype={"id": str}, keep_default_na=False)
        frame.assign(score=frame["score"] + 1.0).to_csv(table, index=False)
    found = find_consensus(copy, min_share=0.5)
    write_matrix(copy)
    var = anndata.read_zarr(copy / "cohort.zarr").var
    np.testing.assert_array_equal(var["score"], found.channels["score"])


def test_columns_of_the_samples_never_hide_ours(study: Path) -> None:
    anndata = pytest.importorskip("anndata")
    obs = anndata.read_zarr(study / "cohort.zarr").obs
    assert obs.loc["b/one:0_3", ["x", "sample_x", "mean"]].tolist() == [3, "X1", "y"]
    manifest = pd.read_csv(study / "manifest.csv").set_index("sample")
    assert manifest.loc["a", ["status", "sample_status"]].tolist() == ["done", "s"]
    assert manifest.loc["e", "status"] == "failed"


@pytest.mark.filterwarnings("ignore")  # of scanpy's dependencies
def test_scanpy_takes_the_store(study: Path) -> None:
    scanpy = pytest.importorskip("scanpy")
    anndata = pytest.importorskip("anndata")
    cluster = pytest.importorskip("sklearn.cluster")
    table = anndata.read_zarr(study / "cohort.zarr")
    scanpy.pp.log1p(table)
    scanpy.pp.pca(table, n_comps=3)
    assert table.obsm["X_pca"].shape == (120 + 130 + 108 + 80, 3)
    # Sections differ in brightness by 1 : 2 : 3 : 4, and in nothing else: that is what two clusters of pixels show.
    groups = cluster.KMeans(2, n_init=3, random_state=0).fit_predict(table.obsm["X_pca"])
    first, last = (np.bincount(groups[(table.obs["sample"] == name).to_numpy()], minlength=2) for name in "ad")
    assert first.argmax() != last.argmax()
    assert min(first.max() / first.sum(), last.max() / last.sum()) > 0.95


@pytest.mark.long  # compiles for a minute
@pytest.mark.filterwarnings("ignore")
def test_scanpy_finds_neighbours_and_compares_groups(study: Path) -> None:
    scanpy = pytest.importorskip("scanpy")
    table = pytest.importorskip("anndata").read_zarr(study / "cohort.zarr")
    scanpy.pp.log1p(table)
    scanpy.pp.pca(table, n_comps=3)
    scanpy.pp.neighbors(table, n_neighbors=10)
    assert table.obsp["connectivities"].shape == (438, 438)
    scanpy.tl.rank_genes_groups(table, "group", method="t-test")
    assert set(table.uns["rank_genes_groups"]["names"].dtype.names) == {"control", "tumour"}


def test_the_command(study: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    done = cli("cohort", "tables", study, "--to", tmp_path, "--format", "csv,scils", "--exclude", "negative")
    assert done.code == 0
    assert "4 channels x 4 sections, not normalised" in done.stdout
    assert "left out by class: 2 negative" in done.stdout
    assert "note: 1 section failed: e" in done.stderr
    again = cli("cohort", "tables", study, "--to", tmp_path, "--format", "csv,scils", "--exclude", "negative", "--json")
    document = json.loads(again.stdout)
    assert document["already_done"]
    assert (document["channels"], document["excluded"]) == (4, {"negative": 2})
    wrong = cli("cohort", "tables", study, "--format", "excel")
    assert wrong.code == 2
    assert "formats must be among xlsx, csv" in wrong.stderr
