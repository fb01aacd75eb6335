"""Exports are taken for what they are, by other readers too: polarity, type, instrument, programs, scale, section."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pyimzml.ImzMLParser import ImzMLParser

import ionmorphnet as imn
from imzml_factory import Spec, cv, write_imzml
from ionmorphnet.io.imzml_origin import Origin, Param, Program, read_origin

NEGATIVE, POSITIVE = cv("MS:1000129", "negative scan"), cv("MS:1000130", "positive scan")
INSTRUMENT = (
    '<softwareList count="2">'
    f'<software id="Xcalibur" version="2.2">{cv("MS:1000532", "Xcalibur")}</software>'
    '<software id="my tool" version="3 &lt;beta&gt;"/></softwareList>'
    '<instrumentConfigurationList count="1"><instrumentConfiguration id="i">'
    f"{cv('MS:1000557', 'LTQ FT Ultra')}{cv('MS:1000529', 'instrument serial number', 'A &amp; B')}"
    f'<componentList count="1"><analyzer order="1">{cv("MS:1000264", "ion trap")}</analyzer></componentList>'
    "</instrumentConfiguration></instrumentConfigurationList>"
    '<dataProcessingList count="1"><dataProcessing id="d"><processingMethod order="1" softwareRef="my tool">'
    f"{cv('MS:1000594', 'low intensity data point removal')}{cv('XX:1', 'secret', '5')}</processingMethod>"
    "</dataProcessing></dataProcessingList>"
)


def section(path: Path, *, spectrum: str = "", head: str = "", **options: Any) -> Path:
    """A section of 8 x 6 pixels with a disc; ``spectrum`` stands in every spectrum, ``head`` in front of the run."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:6, :8]
    disc = (y - 2) ** 2 + (x - 3) ** 2 < 6
    specs = [
        Spec(k % 8 + 1, k // 8 + 1, [300.1, 400.2], [1 + 9 * disc.flat[k], 1 + rng.random()]) for k in range(disc.size)
    ]

    def edit(text: str) -> str:
        return text.replace(
            '<referenceableParamGroupRef ref="spectrum"/>', '<referenceableParamGroupRef ref="spectrum"/>' + spectrum
        )

    return write_imzml(path, specs, shared_axis=True, edit=edit, head=head, **options)


def exported(source: Path, **arguments: Any) -> Path:
    target = source.with_name("peaks.imzML")
    imn.pick(source, scorer="moran", top=2, **arguments).to_imzml(target)
    return target


def pyimzml(path: Path) -> ImzMLParser:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", 'Accession IMS:1000046 found with incorrect name "pixel size x"')
        with ImzMLParser(str(path)) as parser:
            return parser


@pytest.mark.parametrize(
    ("spectrum", "head", "polarity"),
    [
        (NEGATIVE, "", "negative"),  # in every spectrum
        (POSITIVE, "", "positive"),
        ("", f"<!-- {NEGATIVE} -->", None),  # not declared
        ("", "", None),
    ],
)
def test_the_polarity_is_that_of_the_source(spectrum: str, head: str, polarity: str | None, tmp_path: Path) -> None:
    path = exported(section(tmp_path / "s.imzML", spectrum=spectrum, head=head))
    parser = pyimzml(path)
    assert (parser.polarity, parser.spectrum_mode) == (polarity, "centroid")
    with imn.open(path) as back:
        assert back.declared.get("polarity") == polarity
        assert back.warnings == []
    groups = [
        group.get("id")
        for group in ElementTree.parse(path).iter("{http://psi.hupo.org/ms/mzml}referenceableParamGroup")
    ]
    assert groups == ["mzArray", "intensityArray", "spectrum1"]


def test_a_polarity_in_a_group(tmp_path: Path) -> None:
    def edit(text: str) -> str:
        return text.replace(
            '<referenceableParamGroup id="spectrum">', '<referenceableParamGroup id="spectrum">' + POSITIVE
        )

    specs = [Spec(x, y, [300.1, 400.2], [x, y]) for y in range(1, 7) for x in range(1, 9)]
    path = exported(write_imzml(tmp_path / "s.imzML", specs, shared_axis=True, edit=edit))
    assert pyimzml(path).polarity == "positive"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_instrument_and_programs_go_with_the_data(encoding: str, tmp_path: Path) -> None:
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>\n'
    head = INSTRUMENT.replace("A &amp; B", "A &amp; B \u00fc")
    source = section(
        tmp_path / "s.imzML", head=head, encoding=encoding, declaration=declaration, pixel_size_um=(25, 50)
    )
    metadata = pyimzml(exported(source)).metadata.pretty()
    (instrument,) = metadata["instrument_configurations"].values()
    assert instrument["LTQ FT Ultra"]
    assert instrument["instrument serial number"] == "A & B \u00fc"
    assert [(part["type"], part["ion trap"]) for part in instrument["components"]] == [("analyzer", True)]
    software = {key: each["version"] for key, each in metadata["softwares"].items()}
    assert software == {"Xcalibur": "2.2", "my_tool": "3 <beta>", "ionmorphnet": imn.__version__}
    (processing,) = metadata["data_processings"].values()
    steps = [
        (each["softwareRef"], *sorted(set(each) - {"type", "order", "softwareRef"})) for each in processing["methods"]
    ]
    assert steps == [
        ("my_tool", "low intensity data point removal", "secret"),
        ("ionmorphnet", "ionmorphnet", "peak picking"),
        ("ionmorphnet", "Conversion to mzML"),
    ]
    (file,) = metadata["file_description"]["source_files"].values()
    assert (file["name"], file["location"]) == ("s.imzML", tmp_path.as_uri())
    with imn.open(source) as ds:
        assert file["source universally unique identifier"] == ds.declared["uuid"]
        assert file["source ibd SHA-1"] == ds.declared["ibd_sha1"]


def test_the_scale_and_the_counts(tmp_path: Path) -> None:
    path = exported(section(tmp_path / "s.imzML", pixel_size_um=(25.0, 50.0)))
    found = pyimzml(path).imzmldict
    assert [found[f"pixel size {side}"] for side in "xy"] == [25.0, 50.0]
    assert [found[f"max count of pixels {side}"] for side in "xy"] == [8, 6]
    assert [found[f"max dimension {side}"] for side in "xy"] == [200, 300]
    with imn.open(path) as back:
        assert back.pixel_size_um == (25.0, 50.0)
        assert (back.n_spectra, back.mode, back.spectrum_type) == (48, "continuous", "centroid")


def test_other_readers(tmp_path: Path) -> None:
    path = exported(section(tmp_path / "s.imzML", spectrum=NEGATIVE, head=INSTRUMENT, pixel_size_um=(25.0, 50.0)))
    imzy = pytest.importorskip("imzy", reason="imzy is not installed")
    reader = imzy.get_reader(path)
    assert reader.is_centroid
    assert (reader.x_pixel_size, reader.y_pixel_size, reader.n_pixels) == (25.0, 50.0, 48)


def test_m2aia(tmp_path: Path) -> None:
    path = exported(section(tmp_path / "s.imzML", spectrum=NEGATIVE, head=INSTRUMENT, pixel_size_um=(25.0, 50.0)))
    m2aia = pytest.importorskip("m2aia", reason="pyM2aia is not installed")
    reader = m2aia.ImzMLReader(str(path))
    assert reader.GetSpectrumType() == "ContinuousCentroid"
    np.testing.assert_allclose(reader.GetSpacing()[:2], [0.025, 0.05])
    assert "[MS:1000129] spectrum1.negative scan" in reader.GetMetaData()


def test_normalisation_is_a_step_of_the_processing(tmp_path: Path) -> None:
    metadata = pyimzml(exported(section(tmp_path / "s.imzML"), normalize="tic")).metadata.pretty()
    (processing,) = metadata["data_processings"].values()
    assert processing["methods"][0]["ionmorphnet"] == "tic"


@pytest.mark.parametrize(
    "head",
    [
        "<softwareList><software id='a'>",
        "<x y='1' y='2'/>",
        "<instrumentConfiguration>&nbsp;</instrumentConfiguration>",
    ],
)
def test_a_header_that_is_no_xml_is_no_obstacle(head: str, tmp_path: Path) -> None:
    path = tmp_path / "s.imzML"
    path.write_text(f'<?xml version="1.0"?><mzML>{head}<run id="r"/></mzML>')
    found = read_origin(path, {"polarity": "negative", "instrument": "FT; trap", "software": "a 1; b 2", "uuid": "u"})
    assert found.polarity == "negative"
    assert [each.value for each in found.instrument] == ["FT", "trap"]
    assert [each.name for each in found.programs] == ["a 1", "b 2"]
    assert [each.name for each in found.files] == ["s.imzML"]


def test_programs_get_names_of_their_own(tmp_path: Path) -> None:
    programs = tuple(Program(name, "1", ()) for name in ("ionmorphnet", "1 tool", "1-tool", "_1_tool", ""))
    with imn.ImzMLWriter(
        tmp_path / "s.imzML",
        mode="processed",
        spectrum_type="centroid",
        origin=Origin(programs=programs, instrument=(Param("", 'a "b" <c>', "&"),)),
    ) as writer:
        writer.add(1, 1, [100.0], [1.0])
    root = ElementTree.parse(tmp_path / "s.imzML").getroot()
    names = [each.get("id") for each in root.iter("{http://psi.hupo.org/ms/mzml}software")]
    assert len(set(names)) == len(names) == 6
    assert names[-1] == "ionmorphnet"
    assert {each.get("name") for each in root.iter("{http://psi.hupo.org/ms/mzml}userParam")} >= {'a "b" <c>'}
    assert imn.open(tmp_path / "s.imzML").warnings == []


@pytest.mark.parametrize(
    ("size", "unit", "spatial"), [((25.0, 50.0), "micrometer", (175.0, 250.0)), (None, "pixel", (7.0, 5.0))]
)
def test_anndata_tells_section_and_scale(
    size: tuple[float, float] | None, unit: str, spatial: tuple[float, float], tmp_path: Path
) -> None:
    anndata = pytest.importorskip("anndata", reason="needs the extra [anndata]")
    tables = []
    for patient in ("p1", "p2"):  # one file name, as in most studies
        (tmp_path / patient).mkdir()
        options = {} if size is None else {"pixel_size_um": size}
        path = section(tmp_path / patient / "s.imzML", spectrum=NEGATIVE, uuid=patient[-1] * 32, **options)
        imn.pick(path, scorer="moran", top=2).save(tmp_path / "o" / patient, formats="h5ad")
        tables.append(anndata.read_h5ad(tmp_path / "o" / patient / "peaks.h5ad"))
    facts = tables[0].uns["ionmorphnet"]
    assert (facts["source"], facts["polarity"], facts["spatial_unit"]) == (
        str(tmp_path / "p1/s.imzML"),
        "negative",
        unit,
    )
    assert ("pixel_size_um" in facts) == (size is not None)
    if size is not None:
        assert list(facts["pixel_size_um"]) == list(size)
        assert tuple(tables[0].obs[["x_um", "y_um"]].iloc[-1]) == spatial
    assert tuple(tables[0].obsm["spatial"][-1]) == spatial
    assert tuple(tables[0].obsm["spatial_pixels"][-1]) == (7.0, 5.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's own, about categories
        joined = anndata.concat(tables, join="outer")
    assert joined.obs_names.is_unique
    assert list(joined.obs["sample"].unique()) == ["s-111111", "s-222222"]
    assert joined.obs_names[0] == "s-111111:0_0"


def test_planes_are_samples_of_their_own(two_planes: Path) -> None:
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    with imn.open(two_planes) as ds:
        names = [imn.pick(ds.plane(z), scorer="moran", top=1).to_anndata().obs["sample"].iloc[0] for z in (1, 2)]
    assert names[0].startswith("z_z1-")
    assert names[1].startswith("z_z2-")


def test_parquet_tells_the_section(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="Parquet needs the extra [parquet]")
    path = section(tmp_path / "s.imzML", pixel_size_um=(25.0, 50.0))
    imn.pick(path, scorer="moran", top=2).to_parquet(tmp_path / "p.parquet")
    attributes = pd.read_parquet(tmp_path / "p.parquet").attrs
    assert attributes["source"] == str(path)
    assert attributes["pixel_size_um"] == [25.0, 50.0]


def test_warnings_lie_beside_the_tables(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mz = np.linspace(100.0, 200.0, 20)
    specs = [Spec(3 * x + 1, 3 * y + 1, mz, rng.random(20)) for y in range(8) for x in range(8)]
    sparse = write_imzml(tmp_path / "sparse.imzML", specs, shared_axis=True, max_count=(22, 22))
    peaks = imn.pick(sparse, scorer="moran", top=2)
    peaks.save(tmp_path / "o", report=True)
    assert peaks.run is not None
    expected = list(dict.fromkeys((*peaks.run.input.warnings, *peaks.run.warnings)))
    assert expected
    assert (tmp_path / "o" / "warnings.txt").read_text().splitlines() == expected
    page = (tmp_path / "o" / "report.html").read_text()
    assert page.index('class="warnings"') < page.index('class="overview"')
    assert f'<p class="path">{sparse}</p>' in page  # two patients' sections often have one name
    specs = [Spec(x + 1, y + 1, mz, rng.lognormal(0.0, 1.5, 20)) for y in range(12) for x in range(12)]
    clean = write_imzml(tmp_path / "clean.imzML", specs, shared_axis=True)
    imn.pick(clean, scorer="moran", top=2).save(tmp_path / "o", overwrite=True)
    assert not (tmp_path / "o" / "warnings.txt").exists()


def test_regions_are_samples_of_their_own(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata", reason="needs the extra [anndata]")
    rng = np.random.default_rng(2)
    places = [(x + 30 * k, y) for k in range(2) for y in range(1, 9) for x in range(1, 9 + k)]
    specs = [Spec(x, y, [300.1, 400.2], rng.uniform(1, 9, 2)) for x, y in places]
    path = write_imzml(tmp_path / "slide.imzML", specs, shared_axis=True)
    for _ in range(2):
        (outcome,) = imn.pick_files([path], tmp_path / "o", scorer="moran", top=1, formats="h5ad", regions="each")
        assert outcome.ok, outcome.message
    assert [plane.already_done for plane in outcome.picked] == [True, True]
    (whole,) = imn.pick_files([path], tmp_path / "o", scorer="moran", top=1, formats="h5ad")
    assert [plane.already_done for plane in whole.picked] == [False]
    folders = sorted(path.parent.name for path in (tmp_path / "o").rglob("run.json"))
    assert folders == ["slide", "slide_region1", "slide_region2"]
    tables = [anndata.read_h5ad(tmp_path / "o" / name / "peaks.h5ad") for name in folders]
    names = [table.obs["sample"].iloc[0].rpartition("-")[0] for table in tables]
    assert names == folders


def mixed(path: Path) -> Path:
    """MS1 and MS2 spectra, of both polarities, on the same pixels."""
    rng = np.random.default_rng(4)
    kinds = [(level, polarity) for level in (1, 2) for polarity in ("positive", "negative")]
    terms = {
        "positive": cv("MS:1000130", "positive scan"),
        "negative": cv("MS:1000129", "negative scan"),
    }
    specs = [Spec(x, y, [300.1, 400.2], rng.uniform(1, 9, 2)) for y in range(1, 9) for x in range(1, 9) for _ in kinds]
    marks = iter(
        [f"{cv('MS:1000511', 'ms level', level)}{terms[polarity]}" for _ in range(64) for level, polarity in kinds]
    )

    def edit(text: str) -> str:
        first, *rest = text.split('<referenceableParamGroupRef ref="spectrum"/>')
        return first + "".join(f'<referenceableParamGroupRef ref="spectrum"/>{next(marks)}{part}' for part in rest)

    return write_imzml(path, specs, shared_axis=True, edit=edit)


def test_levels_and_polarities_of_one_file_are_inputs_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = mixed(tmp_path / "in" / "s.imzML")
    found = {}
    for options in ({}, {"ms_level": 2}, {"polarity": "negative"}, {"ms_level": 2, "polarity": "negative"}):
        for _ in range(2):
            (outcome,) = imn.pick_files([path], tmp_path / "o", scorer="moran", top=1, formats="imzml", **options)
            assert outcome.ok, outcome.message
        for plane in outcome.picked:
            assert plane.already_done
            run = plane.peaks.run
            assert run is not None
            found[plane.folder] = (run.input.ms_level, run.input.polarity)
            parser = pyimzml(plane.folder / "peaks.imzML")
            assert parser.polarity == run.input.polarity
            text = (plane.folder / "peaks.imzML").read_text()
            assert f'name="ms level" value="{run.input.ms_level}"' in text
    assert sorted(set(found.values())) == [(1, "negative"), (1, "positive"), (2, "negative"), (2, "positive")]
    for folder, expected in found.items():  # nothing was replaced
        run = imn.open_run(folder).run
        assert run is not None
        assert (run.input.ms_level, run.input.polarity) == expected
