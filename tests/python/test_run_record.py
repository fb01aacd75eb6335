"""The record of a pick, read by field name as run.json is."""

import json

import pytest

import ionmorphnet as imn


def test_fields_by_name_are_those_of_run_json(section, tmp_path):
    peaks = imn.pick(section, scorer="moran", top=2)
    peaks.save(tmp_path / "out")
    written = json.loads((tmp_path / "out/run.json").read_text())
    for added in ("files", "skipped"):  # when the result is written
        written.pop(added)
    assert {name: peaks.run[name] for name in written} == written
    assert isinstance(peaks.run["warnings"], list)
    assert peaks.run["input"]["path"] == peaks.run.input.path


def test_an_unknown_field_is_a_key_error(section):
    with pytest.raises(KeyError, match="colour"):
        imn.pick(section, scorer="moran", top=2).run["colour"]
