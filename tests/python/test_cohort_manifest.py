"""The manifest of a study survives crashes and merges shards."""

import json

import pytest

import ionmorphnet as imn
from ionmorphnet.cohort.manifest import Entry, Manifest, Shard


def entry(name, status="done", date="2026-01-01T00:00:00+00:00", **fields):
    return Entry(name, f"/data/{name}.imzML", status, "", {"a": 1}, date, 1.5, **fields)


def test_the_last_entry_of_a_sample_counts(tmp_path):
    manifest = Manifest(tmp_path / "study")
    assert manifest.entries() == {}
    manifest.append(entry("a", "failed"))
    manifest.append(entry("b", results=("b_z1", "b_z2"), picked=7, columns={"patient": "p1"}))
    manifest.append(entry("a"))
    found = manifest.entries()
    assert found["a"].status == "done"
    assert found["b"] == entry("b", results=("b_z1", "b_z2"), picked=7, columns={"patient": "p1"})


def test_a_line_that_a_crash_cut_short_is_left_alone(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.append(entry("a"))
    whole = manifest.path.read_bytes()
    manifest.append(entry("b"))
    for cut in range(len(whole) + 1, manifest.path.stat().st_size, 37):
        manifest.path.write_bytes(manifest.path.read_bytes()[:cut])
        assert set(manifest.entries()) == {"a"}
        manifest.append(entry("c"))
        assert set(manifest.entries()) == {"a", "c"}
        manifest.path.write_bytes(whole)
        manifest.append(entry("b"))


def test_a_line_that_is_no_entry_is_an_error(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.append(entry("a"))
    manifest.path.write_text(manifest.path.read_text() + '{"name": "b"}\n')
    with pytest.raises(imn.FileError, match=r"manifest\.jsonl: line 2 is not an entry"):
        manifest.entries()
    manifest.path.write_text("hello\n")
    with pytest.raises(imn.FileError, match="line 1 is not an entry"):
        manifest.entries()


def test_shards_write_files_of_their_own_and_are_read_together(tmp_path):
    for k in range(3):
        Manifest(tmp_path, Shard(k, 3)).append(entry(f"s{k}"))
    Manifest(tmp_path).append(entry("s1", "failed", date="2026-01-02T00:00:00+00:00"))
    assert sorted(path.name for path in Manifest(tmp_path).files()) == [
        "manifest-1of3.jsonl",
        "manifest-2of3.jsonl",
        "manifest-3of3.jsonl",
        "manifest.jsonl",
    ]
    assert {name: each.status for name, each in Manifest(tmp_path).entries().items()} == {
        "s0": "done",
        "s1": "failed",
        "s2": "done",
    }


def test_the_csv_view(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.append(entry("b", columns={"patient": "p1", "path": "not mine"}))
    manifest.append(entry("a", "failed"))
    frame = read(manifest.write_csv())
    assert frame["sample"].tolist() == ["a", "b"]
    assert frame["patient"].fillna("").tolist() == ["", "p1"]
    assert frame["path"].tolist() == ["/data/a.imzML", "/data/b.imzML"]
    assert read(manifest.write_csv(["b", "a", "c"]))["sample"].tolist() == ["b", "a"]


def read(path):
    import pandas as pd

    return pd.read_csv(path)


def test_unknown_fields_of_later_versions_are_ignored(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.append(entry("a"))
    line = json.loads(manifest.path.read_text())
    manifest.path.write_text(json.dumps({**line, "new": 1}) + "\n")
    assert manifest.entries()["a"] == entry("a")


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_shards_are_checked(text):
    with pytest.raises(imn.ArgumentError, match="i/n"):
        Shard.parse(text)


def test_shards_cover_everything_once():
    shards = [Shard.parse(f"{k}/4") for k in range(1, 5)]
    assert [sum(shard.has(i) for shard in shards) for i in range(11)] == [1] * 11
    assert str(shards[2]) == "3/4"
