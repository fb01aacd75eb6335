"""m/z lists of other programs: windows, names and further columns, and what becomes of them in a pick."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet.cli.app import cli

METASPACE = """# Generated at 1/2/2024 10:00:00 AM. For help see https://example.org
# URL: https://example.org/annotations?db=1,2
group,datasetName,formula,adduct,ion,mz,msm,fdr,moleculeNames,offSample
"G","s, one","C10","M+H","C10H+","300.1000","0.9","0.05","Alpha, Beta",false
"G","s, one","C11","M+H","C11H+","400.2000","0.8","0.05","Gamma",false
"G","two","C10","M+H","C10H+","300.1000","0.7","0.1","Alpha, Beta",false
"""
SCILS = """# Exported with SCiLS Lab
# Object type: Static feature list
#
m/z;Interval Width (+/- Da);Color;Name
400,2;0,005;#3cb44b;b
300,1;0,003;#e6194b;a
"""


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300.1 in a disc of 113 of 480 pixels, 400.2 in the left half, 885.55 everywhere; 5 ppm off 885.55 a shoulder."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:20, :24]
    disc = (y - 10) ** 2 + (x - 8) ** 2 < 36
    specs = []
    for py, px in zip(y.ravel(), x.ravel(), strict=True):
        present = np.array([disc[py, px], px < 12, True])
        mz = np.array([300.1, 400.2, 885.55])[present]
        specs.append(Spec(int(px) + 1, int(py) + 1, mz, rng.gamma(9, 1, len(mz))))
    return write_imzml(tmp_path_factory.mktemp("listed") / "section.imzML", specs)


def listed(folder: Path, text: str, **widths: float) -> imn.CandidateAxis:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return imn.CandidateAxis.from_csv(path, **widths)


def test_metaspace_annotations(tmp_path: Path, section: Path) -> None:
    path = tmp_path / "metaspace.csv"
    path.write_text(METASPACE)
    with pytest.warns(UserWarning, match="3 rows of the list are 2 channels"):
        axis = imn.CandidateAxis.from_csv(path, ppm=10)
    np.testing.assert_array_equal(axis.mz, [300.1, 400.2])
    np.testing.assert_allclose(axis.mz_hi - axis.mz, axis.mz * 1e-5, rtol=1e-6)
    assert axis.columns["moleculeNames"].tolist() == ["Alpha, Beta", "Gamma"]
    assert axis.columns["datasetName"].tolist() == ["s, one; two", "s, one"]
    assert axis.columns["msm"].tolist() == ["0.9; 0.7", "0.8"]  # joined, so texts
    assert axis.method == "given m/z list metaspace.csv, +-10 ppm"
    with pytest.raises(imn.ArgumentError, match=r"metaspace\.csv: the list states no windows; pass --ppm or --tol"):
        imn.CandidateAxis.from_csv(path)
    peaks = imn.pick(section, axis=axis, top=5)
    frame = peaks.all_scores.sort_values("mz")
    assert frame["ion"].tolist() == ["C10H+", "C11H+"]
    np.testing.assert_allclose(frame["frequency"], [np.mean(disc_of(section)), 0.5])


def disc_of(section: Path) -> np.ndarray:
    with imn.open(section) as ds:
        return np.asarray(ds.ion_images(300.1, tol=0.01)[0] > 0)


def test_scils_features_bring_their_windows(tmp_path: Path) -> None:
    axis = listed(tmp_path, SCILS)
    np.testing.assert_array_equal(axis.mz, [300.1, 400.2])
    np.testing.assert_allclose(axis.mz - axis.mz_lo, [0.003, 0.005])
    np.testing.assert_allclose(axis.mz_hi - axis.mz, [0.003, 0.005])
    assert axis.columns["Name"].tolist() == ["a", "b"]
    assert axis.columns["Color"].tolist() == ["#e6194b", "#3cb44b"]
    assert "windows of its column 'Interval Width (+/- Da)'" in axis.method
    given = listed(tmp_path, SCILS, ppm=20)
    np.testing.assert_allclose(given.mz_hi - given.mz, given.mz * 2e-5, rtol=1e-6)
    assert "+-20 ppm in place of its column 'Interval Width (+/- Da)'" in given.method
    mda = listed(tmp_path, "m/z,Width (+- mDa)\n500,4\n")
    np.testing.assert_allclose([mda.mz_lo[0], mda.mz_hi[0]], [499.996, 500.004])
    ppm = listed(tmp_path, "m/z,Tolerance [± ppm]\n500,4\n")
    np.testing.assert_allclose([ppm.mz_lo[0], ppm.mz_hi[0]], [499.998, 500.002])
    # A width without +/- could be the whole window: it is a column like others.
    with pytest.raises(imn.ArgumentError, match="states no windows"):
        listed(tmp_path, "m/z,Interval Width (Da)\n500,.1\n")


def test_our_own_peaks(tmp_path: Path, section: Path) -> None:
    peaks = imn.pick(section, top=3)
    peaks.to_csv(tmp_path / "peaks.csv")
    axis = imn.CandidateAxis.from_csv(tmp_path / "peaks.csv")
    by_mz = peaks.to_frame().sort_values("mz")
    np.testing.assert_array_equal(axis.mz_lo, by_mz["mz_lo"])
    np.testing.assert_array_equal(axis.mz_hi, by_mz["mz_hi"])
    again = imn.pick(section, axis=axis, top=3)
    np.testing.assert_array_equal(again.all_scores["score"], peaks.all_scores["score"])
    # Columns that a result has as well are kept under another name.
    np.testing.assert_allclose(again.to_frame()["list_score"], peaks.to_frame()["score"])
    assert again.to_frame()["list_label"].tolist() == peaks.to_frame()["label"].tolist()


def test_types_of_columns(tmp_path: Path) -> None:
    text = "mz;n;id;share;mixed;n\n500,5;3;007;0,5;x;1\n400;;008;;;2\n"
    axis = listed(tmp_path, text, tol=0.1)
    np.testing.assert_array_equal(axis.columns["n"], [np.nan, 3])
    np.testing.assert_array_equal(axis.columns["n.1"], [2, 1])
    assert axis.columns["id"].tolist() == ["008", "007"]
    np.testing.assert_array_equal(axis.columns["share"], [np.nan, 0.5])
    assert axis.columns["mixed"].tolist() == ["", "x"]
    assert axis[1:].columns["id"].tolist() == ["007"]
    assert axis[[False, True]].to_frame()["share"].tolist() == [0.5]  # type: ignore[index]
    with pytest.raises(imn.ArgumentError, match="axis: lengths differ"):
        imn.CandidateAxis([1.0], [1.0], [1.0], [1.0], columns={"a": np.zeros(2)})  # type: ignore[arg-type]


def test_other_programs(tmp_path: Path) -> None:
    mmass = listed(tmp_path, "m/z\ta.i.\tbase\tabs.\n500.5\t10\t1\t9\n600.25\t12\t2\t10\n", ppm=5)
    assert list(mmass.columns) == ["a.i.", "base", "abs."]
    lipids = listed(tmp_path, "Input Mass,Matched Mass,Delta,Name\n760.585,760.5851,0.0001,PC 34:1\n", ppm=5)
    np.testing.assert_array_equal(lipids.mz, [760.585])
    assert lipids.columns["Name"].tolist() == ["PC 34:1"]
    assert any("'Input Mass' of the list was taken for m/z" in text for text in lipids.notes)
    pixels = listed(tmp_path, "mol_formula,adduct,mz,x0_y0,x1_y0\nC10,M+H,300.1,5,6\n", ppm=5)
    assert list(pixels.columns) == ["mol_formula", "adduct"]
    assert any("2 columns of the list hold intensities" in text for text in pixels.notes)
    xcms = listed(tmp_path, '"mz","mzmin","mzmax","rt"\n500,499.9,500.2,1\n')
    np.testing.assert_array_equal([xcms.mz_lo[0], xcms.mz_hi[0]], [499.9, 500.2])
    # The same m/z with two windows is two channels.
    two = listed(tmp_path, "mz,mz_lo,mz_hi,name\n500,499,501,wide\n500,499.9,500.1,narrow\n")
    assert two.columns["name"].tolist() == ["wide", "narrow"]


def test_names_in_all_outputs(tmp_path: Path, section: Path) -> None:
    (tmp_path / "scils.csv").write_text(SCILS)
    arguments = ["pick", str(section), "-o", str(tmp_path / "o"), "--mz-list", str(tmp_path / "scils.csv")]
    arguments += ["--top", "2", "--format", "csv,parquet,h5ad", "--report"]
    run = CliRunner().invoke(cli, arguments)
    assert run.exit_code == 0, run.output
    out = tmp_path / "o/section"
    record = json.loads((out / "run.json").read_text())
    assert "Interval Width" in record["axis"]["method"]
    tables = [pd.read_csv(out / "peaks.csv"), pd.read_csv(out / "scores.csv"), pd.read_parquet(out / "peaks.parquet")]
    for frame in tables:
        assert dict(zip(frame["mz"].round(1), frame["Name"], strict=True)) == {300.1: "a", 400.2: "b"}
    anndata = pytest.importorskip("anndata")
    var = anndata.read_h5ad(out / "peaks.h5ad").var
    assert sorted(var["Name"]) == ["a", "b"]
    assert '"names":["' in (out / "report.html").read_text().replace(" ", "")
    again = imn.open_run(out)
    assert sorted(again.all_scores["Name"]) == ["a", "b"]


def test_frequency_of_given_lists(tmp_path: Path, section: Path) -> None:
    for normalize in (None, "tic"):
        peaks = imn.pick(section, axis=[300.1, 400.2, 885.55, 999.0], ppm=10, top=4, normalize=normalize)  # type: ignore[arg-type]
        frame = peaks.all_scores.sort_values("mz")
        np.testing.assert_allclose(frame["frequency"], [np.mean(disc_of(section)), 0.5, 1.0, 0.0])
    # As for channels that were found in the data.
    found = imn.pick(section, top=3).all_scores.sort_values("mz")
    np.testing.assert_allclose(found["frequency"], frame["frequency"][:-1], atol=0.01)
