"""Engines on disk: key, sidecar and cache."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import FileError, UnavailableError
from ionmorphnet.scoring.tensorrt import cache
from ionmorphnet.scoring.tensorrt.flavour import Flavour
from ionmorphnet.scoring.tensorrt.gpu import Gpu
from ionmorphnet.scoring.tensorrt.key import EngineKey
from ionmorphnet.scoring.tensorrt.sidecar import check_fits, check_runnable, read_engine, read_sidecar, write_engine

GPU = Gpu(0, "GeForce Test", 89)
RTX = Flavour("tensorrt_rtx", "1.7.1.116", None)
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def key() -> EngineKey:
    return EngineKey.of(imn.load_model(), RTX, (80, 89), GPU, precision="bf16", batch=64)


OTHER: dict[str, Any] = {
    "onnx_sha256": "0" * 64,
    "graph_revision": 1000,
    "flavour": "tensorrt",
    "version": "1.7.1.117",
    "targets": ("sm_89",),
    "gpu": "GeForce Test",
    "precision": "fp16",
    "batch": 65,
    "channels": 1,
    "size": 192,
    "n_statistics": 3,
    "n_outputs": 6,
}


@pytest.mark.parametrize("part", [field.name for field in fields(EngineKey)])
def test_each_part_changes_the_key(part: str, key: EngineKey, tmp_path: Path) -> None:
    other = replace(key, **{part: OTHER[part]})
    assert getattr(key, part) != OTHER[part]
    assert other.digest != key.digest
    assert cache.engine_name(other, "m") != cache.engine_name(key, "m")
    cache.store(CONTENT, key, "m", tmp_path)
    assert cache.find_cached(other, "m", tmp_path) is None
    assert EngineKey.from_dict(json.loads(json.dumps(other.to_dict()))) == other


def test_what_the_key_is_made_of(key: EngineKey) -> None:
    model = imn.load_model()
    assert (key.onnx_sha256, key.channels, key.n_statistics, key.n_outputs) == (model.sha256, 2, 4, 7)
    assert (key.flavour, key.version, key.targets, key.gpu) == ("tensorrt_rtx", "1.7.1.116", ("sm_80", "sm_89"), "")
    full = EngineKey.of(model, Flavour("tensorrt", "11.1.0", None), (89,), GPU, precision="bf16", batch=64)
    assert full.gpu == "GeForce Test"  # where its kernels were timed


def test_sidecar(key: EngineKey, tmp_path: Path) -> None:
    path = tmp_path / "a.engine"
    written = write_engine(path, CONTENT, key, "atto")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.engine", "a.engine.json"]
    found, content = read_engine(path)
    assert (found, content) == (written, CONTENT)
    values = json.loads((tmp_path / "a.engine.json").read_text())
    assert values["key"] == key.digest
    assert values["tensors"] == [
        {"role": "image", "dtype": "bf16", "shape": [64, 2, 224, 224]},
        {"role": "statistics", "dtype": "f32", "shape": [64, 4]},
        {"role": "outputs", "dtype": "f32", "shape": [64, 7]},
    ]
    assert replace(key, n_statistics=0, precision="fp16").tensors()[0]["dtype"] == "f16"
    assert len(replace(key, n_statistics=0).tensors()) == 2


def test_damaged_and_foreign_files(key: EngineKey, tmp_path: Path) -> None:
    path = tmp_path / "a.engine"
    with pytest.raises(FileError, match=r"a\.engine: no such engine"):
        read_engine(path)
    path.write_bytes(b"anything")
    with pytest.raises(FileError, match=r"a\.engine: a\.engine\.json is missing"):
        read_engine(path)
    write_engine(path, CONTENT, key, "atto")
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(FileError, match="has 10239 bytes, not 10240; the engine is damaged"):
        read_engine(path)
    path.write_bytes(CONTENT[:-1] + b"\0")
    with pytest.raises(FileError, match="SHA-256 differs from the sidecar; the engine is damaged"):
        read_engine(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 2}, "has format 2, this version reads format 1"),
        ({"format": "1"}, "not the sidecar of an engine"),
        ({"key": "0" * 64}, "was edited"),
        ({"tensors": []}, "was edited"),
        ({"parts": {}}, "not the sidecar of an engine"),
        ({"parts": None}, "not the sidecar of an engine"),
        ({"engine": {"bytes": 3}}, "not the sidecar of an engine"),
        ({"parts.batch": 65}, "was edited"),
        ({"parts.version": "9"}, "was edited"),
        ({"parts.batch": "64"}, "not the sidecar of an engine"),
        ({"parts.colour": "red"}, "not the sidecar of an engine"),
    ],
)
def test_edited_sidecars(change: dict[str, Any], text: str, key: EngineKey, tmp_path: Path) -> None:
    written = write_engine(tmp_path / "a.engine", CONTENT, key, "atto")
    values = json.loads(written.sidecar.read_text())
    for name, value in change.items():
        holder, _, part = name.rpartition(".")
        (values[holder] if holder else values)[part] = value
    written.sidecar.write_text(json.dumps(values))
    with pytest.raises(FileError, match=text):
        read_sidecar(written.path)


def test_a_sidecar_that_is_no_json(key: EngineKey, tmp_path: Path) -> None:
    written = write_engine(tmp_path / "a.engine", CONTENT, key, "atto")
    for content in ("{", "[]", "7"):
        written.sidecar.write_text(content)
        with pytest.raises(FileError, match=r"a\.engine\.json: not"):
            read_sidecar(written.path)


def test_what_this_machine_cannot_run(key: EngineKey, tmp_path: Path) -> None:
    file = write_engine(tmp_path / "a.engine", CONTENT, key, "atto")
    check_runnable(file, RTX, GPU)
    check_runnable(file, RTX, Gpu(1, "another of the same kind", 80))
    cases = [
        (Flavour("tensorrt", "11.1.0", None), GPU, "built by tensorrt_rtx, not tensorrt;"),
        (replace(RTX, version="1.8.0.1"), GPU, r"built by tensorrt_rtx 1\.7\.1\.116, installed is 1\.8\.0\.1"),
        (RTX, Gpu(0, "H200", 90), r"built for sm_80, sm_89, this machine has GPU 0 \(H200, sm_90\)"),
    ]
    for flavour, gpu, text in cases:
        with pytest.raises(UnavailableError, match=rf"a\.engine: {text}.*ionmorphnet engine build"):
            check_runnable(file, flavour, gpu)
    measured = write_engine(tmp_path / "b.engine", CONTENT, replace(key, gpu="H100"), "atto")
    with pytest.raises(UnavailableError, match=r"built on H100, this machine has GPU 0"):
        check_runnable(measured, RTX, GPU)


def test_engines_of_something_else(key: EngineKey, tmp_path: Path) -> None:
    model = imn.load_model()
    file = write_engine(tmp_path / "a.engine", CONTENT, key, "atto")
    check_fits(file, replace(key, targets=("sm_89",)), model)
    for changed, text in (
        ({"onnx_sha256": "1" * 64}, r"built from another network \('atto'\), not from .*model\.onnx"),
        ({"graph_revision": 1000}, "built by an older version of ionmorphnet"),
        ({"precision": "fp16"}, "computes in bf16, not fp16"),
        ({"batch": 32}, "has shapes image 64x2x224x224, .* not image 32x2x224x224"),
        ({"n_outputs": 6}, "outputs 64x7, not .* outputs 64x6"),
        ({"n_statistics": 0}, "statistics 64x4"),
    ):
        with pytest.raises(FileError, match=text):
            check_fits(file, replace(key, **changed), model)


def test_cache(key: EngineKey, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "new" / "cache"
    assert cache.find_cached(key, "m", folder) is None
    assert cache.cached_engines(folder) == []
    assert cache.clear_cache(folder) == []
    first = cache.store(CONTENT, key, "a/strange name", folder)
    second = cache.store(CONTENT, replace(key, batch=1), "m", folder)
    assert first.path.parent == folder
    assert "/" not in first.path.name.removesuffix(".engine")
    assert cache.find_cached(key, "a/strange name", folder) == first
    assert cache.cached_engines(folder) == sorted([first, second], key=lambda each: each.path)
    second.path.write_bytes(b"half")
    assert cache.find_cached(second.key, "m", folder) is None
    assert "building it again" in caplog.text
    second.sidecar.unlink()
    assert cache.cached_engines(folder) == [first]
    (folder / "mine.txt").write_text("kept")
    assert cache.clear_cache(folder) == sorted([first.path, second.path])
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]


def test_an_engine_under_the_name_of_another(key: EngineKey, tmp_path: Path) -> None:
    stored = cache.store(CONTENT, replace(key, batch=1), "m", tmp_path)
    wanted = tmp_path / cache.engine_name(key, "m")
    stored.path.rename(wanted)
    stored.sidecar.rename(wanted.with_name(wanted.name + ".json"))
    assert cache.find_cached(key, "m", tmp_path) is None


def test_the_cache_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert imn.engine.cache_folder() == tmp_path / "xdg" / "ionmorphnet" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert imn.engine.cache_folder() == tmp_path / "home" / ".cache" / "ionmorphnet" / "engines"
    assert imn.engine.cache_folder(tmp_path) == tmp_path


def test_a_cache_that_cannot_be_made(key: EngineKey, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be created"):
        cache.store(CONTENT, key, "m", tmp_path / "file" / "cache")


def test_a_failed_write_leaves_the_old_engine(key: EngineKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.engine"
    written = write_engine(path, CONTENT, key, "atto")

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(FileError, match="No space left"):
        write_engine(path, b"new", key, "atto")
    assert read_engine(path) == (written, CONTENT)
    assert len(list(tmp_path.iterdir())) == 2
