"""The fast scanner and expat read the same headers, in bounded time and memory."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest

from imzml_factory import Spec, cv, grid_specs, write_imzml
from ionmorphnet.base.errors import FileError
from ionmorphnet.io.dataset import open_dataset
from native import _core_testing


def comparable(path: Path, parser: str) -> dict:
    header = dict(_core_testing.parse_header(str(path), parser))
    assert header.pop("used_expat") == (parser == "expat")
    for key in ("x", "y", "z", "kind"):
        header[key] = header[key].tolist()
    for key in ("mz", "intensity"):
        header[key] = {name: column.tolist() for name, column in header[key].items()}
    return header


def assert_parsers_agree(path: Path) -> dict:
    scanned = comparable(path, "scanner")
    assert scanned == comparable(path, "expat")
    return scanned


VARIANTS = {
    "plain": {},
    "shared": {"shared_axis": True},
    "inline": {"params": "inline"},
    "both": {"params": "both"},
    "indexed": {"indexed": True},
    "no namespace": {"namespace": False},
    "crlf": {"newline": "\r\n"},
    "latin": {
        "declaration": '<?xml version="1.0" encoding="ISO-8859-1"?>\n',
        "encoding": "latin-1",
        "head": cv("MS:1", "µ"),
    },
    "bom": {"encoding": "utf-8-sig"},
    "no lengths": {"encoded_length": False, "array_length": False},
    "apostrophes": {"edit": lambda t: t.replace('"', "'")},
    "blanks": {"edit": lambda t: t.replace('="', ' = "').replace("/>", "  />")},
    "end tags": {"edit": lambda t: t.replace("<binary/>", "<binary>\n</binary >")},
    "comments": {"edit": lambda t: t.replace("<scan>", "<!-- < > & - --><scan><?pi <x> ?>")},
    "greater in values": {"edit": lambda t: t.replace('name="position', 'name=">/> position')},
    "entities": {"edit": lambda t: t.replace('id="spectrum=', 'id="&lt;&amp;&quot;spectrum=')},
    "nested tags": {"edit": lambda t: t.replace("<scan>", "<a><b/><scan>").replace("</scan>", "</scan></a>")},
    "stray group": {"edit": lambda t: t.replace("<scan>", '<referenceableParamGroup id="mzArray"/><scan>')},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(tmp_path, variant):
    specs = grid_specs(4, 3)
    header = assert_parsers_agree(write_imzml(tmp_path / "a.imzML", specs, **VARIANTS[variant]))
    assert header["x"] == [spec.x for spec in specs]
    assert len(set(header["mz"]["offset"])) == (1 if variant == "shared" else len(specs))


def test_irregular_spectra(tmp_path, rng):
    """Spectra of changing structure: the scanner discards and records its template again and again."""
    kind = rng.integers(0, 6, 300)

    def irregular(text: str) -> str:
        head, *rows = text.split("<spectrum ")
        for k, which in enumerate(kind):
            if which == 1:
                rows[k] = rows[k].replace("<scan>", "<scan><userParam name='a>b' value='1'/>")
            elif which == 2:
                rows[k] = rows[k].replace("</scan>", cv("MS:1000128", "profile spectrum") + "</scan>")
            elif which == 3:
                rows[k] = rows[k].replace("</scan>", "</scan ><!-- x -->")
            elif which == 4:
                rows[k] = rows[k].replace('"external offset" value="', '"external offset" value="  &#x32;'[:27])
            elif which == 5:
                rows[k] = rows[k].replace("<binaryDataArrayList", "<binaryDataArray/><binaryDataArrayList")
        return "<spectrum ".join([head, *rows])

    specs = [Spec(int(x), int(y), [1.0] * int(n), [1.0] * int(n)) for x, y, n in rng.integers(1, 50, (300, 3))]
    header = assert_parsers_agree(write_imzml(tmp_path / "a.imzML", specs, edit=irregular))
    assert header["x"] == [spec.x for spec in specs]
    assert header["other_arrays"] == int((kind == 5).sum())


def test_damaged_files_are_never_read_differently(tmp_path):
    """Truncated, overwritten or duplicated parts: parsers that accept a file agree; if expat refuses, opening fails."""
    path = write_imzml(tmp_path / "a.imzML", grid_specs(3, 2))
    original = path.read_bytes()
    random_ = random.Random(5)
    read_by_both = 0
    for _ in range(1500):
        data = bytearray(original)
        at = random_.randrange(len(data))
        length = random_.randrange(1, 40)
        action = random_.randrange(4)
        if action == 0:
            del data[at : at + length]
        elif action == 1:
            data[at : at + 1] = random_.choice(b"<>&\"'/=- \n9a").to_bytes(1, "little")
        elif action == 2:
            data[at:at] = data[at : at + length]
        else:
            del data[at:]
        path.write_bytes(data)
        try:
            expected = comparable(path, "expat")
        except FileError:
            expected = None
        try:
            scanned = comparable(path, "scanner")
        except FileError:
            scanned = None
        if expected is not None and scanned is not None:
            assert scanned == expected
            read_by_both += 1
        if action == 3 and at < len(original) - 20:
            assert scanned is None
            assert expected is None
    assert read_by_both > 300


def test_real_files(shared_data):
    files = [
        *sorted(shared_data("imzml_small").glob("*.imzML")),
        shared_data("barley101/barley101_continuous.imzML"),
    ]
    assert len(files) > 5
    for path in files:
        assert_parsers_agree(path)


@pytest.mark.parametrize(
    ("encoding", "declaration"),
    [
        ("utf-16", '<?xml version="1.0" encoding="UTF-16"?>'),
        ("utf-16", None),
        ("cp1252", '<?xml version="1.0" encoding="Windows-1252"?>'),
    ],
)
def test_other_encodings(tmp_path, encoding, declaration):
    specs = grid_specs(2, 2)
    head = '<softwareList><software id="Größe" version="1"/></softwareList>'
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", specs, encoding=encoding, declaration=declaration, head=head))
    assert len(ds) == 4
    assert ds.declared["software"] == "Größe 1"


def test_text_that_is_not_in_the_declared_encoding(tmp_path):
    head = '<softwareList><software id="Größe" version="1"/></softwareList>'
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", grid_specs(1, 1), encoding="latin-1", head=head))
    assert ds.declared["software"] == "Größe 1"


def test_what_the_scanner_leaves_to_expat(tmp_path):
    def with_entity(text: str) -> str:
        text = text.replace("<mzML", '<!DOCTYPE mzML [<!ENTITY one "1">]>\n<mzML', 1)
        return text.replace('name="position x" value="1"', 'name="position x" value="&one;"')

    path = write_imzml(tmp_path / "a.imzML", grid_specs(2, 1), edit=with_entity)
    with pytest.raises(FileError, match="scanner does not recognise"):
        _core_testing.parse_header(str(path), "scanner")
    header = _core_testing.parse_header(str(path), "auto")
    assert header["used_expat"]
    assert header["x"].tolist() == [1, 2]


def laughs(text: str) -> str:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    return text.replace("<mzML", f"<!DOCTYPE mzML [{entities}]>\n<mzML", 1).replace('id="run"', 'id="&a11;"')


def long_entity(text: str) -> str:
    return text.replace("<mzML", f'<!DOCTYPE mzML [<!ENTITY a "{"x" * 10_000}">]>\n<mzML', 1)


def external_entity(text: str) -> str:
    return text.replace("<mzML", '<!DOCTYPE mzML [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<mzML', 1)


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (laughs, "entity"),
        (long_entity, "entity"),
        (external_entity, "external entity"),
        (lambda t: t.replace("<run", "<a>" * 200_000 + "<run", 1), "nested deeper than 256"),
        (lambda t: t[: len(t) // 2], r"not readable as XML: .* \(line \d+\)"),
        (lambda t: t.replace("</scan>", "</scam>", 1), "mismatched tag"),
        (lambda t: t + "<mzML/>", "not readable as XML"),
        (
            lambda t: t.replace('index="0"', 'index="0" index="1"', 1).replace("<scan>", "<scan", 1),
            "not readable as XML",
        ),
        (lambda t: t.replace('<cvParam cvRef="IMS"', '<cvParam cvRef="IMS" name="a"', 1), "duplicate attribute"),
        (lambda t: t.replace("<scan>", "<scan>&nbsp;", 1), "undefined entity"),
        (lambda t: t.replace('encoding="UTF-8"', 'encoding="x-none"'), "encoding"),
    ],
)
def test_hostile_xml_is_refused_quickly(tmp_path, edit, cause):
    path = write_imzml(tmp_path / "a.imzML", grid_specs(3, 3), edit=edit)
    start = time.process_time()
    with pytest.raises(FileError, match=rf"a\.imzML: .*{cause}"):
        open_dataset(path)
    assert time.process_time() - start < 2.0


def test_many_groups_and_references_stay_linear(tmp_path):
    groups = "".join(
        f'<referenceableParamGroup id="g{i}">{cv("MS:1000128", "p") * 20}</referenceableParamGroup>'
        for i in range(5000)
    )
    references = "".join(f'<referenceableParamGroupRef ref="g{i}"/>' for i in range(5000))

    def edit(text: str) -> str:
        text = text.replace("<referenceableParamGroupList>", "<referenceableParamGroupList>" + groups)
        return text.replace("<scanList", references + "<scanList")

    path = write_imzml(tmp_path / "a.imzML", grid_specs(3, 3), edit=edit)
    start = time.process_time()
    assert_parsers_agree(path)
    assert time.process_time() - start < 2.0


def test_large_text_and_binary_are_skipped(tmp_path):
    specs = grid_specs(2, 1)
    blob = "A" * (4 << 20)
    path = write_imzml(tmp_path / "a.imzML", specs, edit=lambda t: t.replace("<binary/>", f"<binary>{blob}</binary>"))
    assert_parsers_agree(path)
    np.testing.assert_array_equal(open_dataset(path).spectrum(1)[0], specs[1].mz)
