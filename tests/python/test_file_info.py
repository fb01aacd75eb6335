"""read_info reads only the header."""

from __future__ import annotations

import json
import time

import pytest

import ionmorphnet as imn
from imzml_factory import Spec, cv, grid_specs, write_imzml
from ionmorphnet.io.info import declared_checksums

HEAD = (
    '<softwareList count="1"><software id="writer &amp; co" version="2.1">'
    f"{cv('MS:1000799', 'custom')}</software></softwareList>"
    '<instrumentConfigurationList count="1"><instrumentConfiguration id="i">'
    f"{cv('MS:1000449', 'LTQ Orbitrap')}{cv('MS:1000529', 'serial number', 7)}"
    "</instrumentConfiguration></instrumentConfigurationList>" + cv("MS:1000130", "positive scan")
)


def test_fields(tmp_path):
    path = write_imzml(
        tmp_path / "a.imzML",
        grid_specs(4, 3),
        head=HEAD,
        max_count=(4, 3),
        pixel_size_um=(50, 40),
        checksum="md5",
        source_files={"a.raw": "", "b.raw": ""},
    )
    info = imn.read_info(path)
    assert (info.mode, info.spectrum_type, info.n_spectra, info.polarity) == ("processed", "centroid", 12, "positive")
    assert info.max_count == (4, 3)
    assert info.pixel_size_um == (50.0, 40.0)
    assert info.software == ["writer & co 2.1"]
    assert info.source_file == ["a.raw", "b.raw"]
    assert info.instrument == ["LTQ Orbitrap", "serial number: 7"]
    assert info.ibd_path == str(path.with_suffix(".ibd"))
    assert info.ibd_size_bytes == path.with_suffix(".ibd").stat().st_size
    assert list(info.checksums) == ["md5"]
    assert json.loads(json.dumps(info.to_dict()))["n_spectra"] == 12


def test_checksums_are_lower_case_and_known_algorithms_only():
    declared = {"ibd_md5": " ABcd ", "ibd_sha256": "12", "ibd_crc": "9", "uuid": "x"}
    assert declared_checksums(declared) == {"md5": "abcd", "sha256": "12"}


def test_arrays_beside_mz_and_intensity(tmp_path):
    term = cv("MS:1003006", "mean inverse reduced ion mobility array")
    group = f'<referenceableParamGroup id="m">{term}</referenceableParamGroup>'
    path = write_imzml(
        tmp_path / "a.imzML",
        grid_specs(1, 1),
        edit=lambda t: t.replace("<referenceableParamGroupList>", "<referenceableParamGroupList>" + group),
    )
    assert imn.read_info(path).other_arrays == ["mean inverse reduced ion mobility array"]


def test_only_the_head_is_read(tmp_path):
    """Content after the start of the spectrum list is ignored, whatever its size (here a sparse file of 3 GiB)."""
    path = write_imzml(
        tmp_path / "a.imzML", [Spec(1, 1, [1.0], [1.0])], count=918_855, edit=lambda t: t[: t.index("<spectrum ")]
    )
    with path.open("r+b") as stream:
        stream.truncate(3 << 30)
    path.with_suffix(".ibd").unlink()
    start = time.process_time()
    info = imn.read_info(path)
    assert time.process_time() - start < 0.1
    assert info.n_spectra == 918_855
    assert info.size_bytes == 3 << 30
    assert info.ibd_path is None
    assert info.ibd_size_bytes is None


def test_nothing_declared(tmp_path):
    path = write_imzml(tmp_path / "a.imzML", grid_specs(1, 1), mode=None, spectrum_type=None, uuid="", checksum=None)
    info = imn.read_info(path)
    assert (info.mode, info.spectrum_type, info.pixel_size_um, info.uuid) == (None, None, None, None)
    assert info.max_count == (None, None)
    assert info.instrument == info.software == info.other_arrays == []
    assert info.checksums == {}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"<html/>", b"<mzML><run/></mzML>"])
def test_not_imzml(tmp_path, content):
    path = tmp_path / "a.imzML"
    path.write_bytes(content)
    with pytest.raises(imn.FileError, match=r"a\.imzML: "):
        imn.read_info(path)
