"""scripts/gpu: the check that never stops early, and the bundle that installs without a network."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "gpu"


def load(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("gpu_check", SCRIPTS / "check.py", monkeypatch)


def say(text: str, code: int = 0) -> tuple[str, ...]:
    return (sys.executable, "-c", f"print({text!r}); raise SystemExit({code})")


def test_a_session_goes_on_after_failures(session: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = (sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while 1: pass'])")
    listed = [
        session.Step("bad", 60, (say("one", 3), say("two"))),
        session.Step("slow", 1, (forever, say("never"))),
        session.Step("absent", 60, (("no-such-program",),)),
        session.Step("needy", 60, (say("x"),), "no-such-program"),
        session.Step("good", 60, ((sys.executable, "-c", "import os; print(os.environ['A'])"),), "", (("A", "b"),)),
    ]
    monkeypatch.setattr(session, "steps", lambda out, work, architectures, more=(): listed)
    monkeypatch.setattr(sys, "argv", ["check.py", "--out", str(tmp_path)])
    started = time.monotonic()
    assert session.main() == 1
    assert time.monotonic() - started < 50
    record = {entry["step"]: entry for entry in json.loads((tmp_path / "session.json").read_text())}
    assert {name: entry["state"] for name, entry in record.items()} == {
        "bad": "failed",
        "slow": "out of time",
        "absent": "failed",
        "needy": "skipped",
        "good": "passed",
    }
    assert "two" in record["bad"]["tail"]
    assert "never" not in record["slow"]["tail"]
    assert record["good"]["tail"] == "b\n"
    with tarfile.open(tmp_path / "logs.tar.gz") as logs:
        assert {member.name for member in logs} == {f"{name}.log" for name in record}


def test_what_measures_nothing_runs_at_once(
    session: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each of the two ends only when the other has begun.
    meet = "import os, sys, time; open(sys.argv[1], 'w')\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)"
    a, b, built = (str(tmp_path / name) for name in ("a", "b", "built"))
    listed = [
        session.Step("one", 60, ((sys.executable, "-c", meet, a, b),)),
        session.Step(
            "two",
            60,
            ((sys.executable, "-c", "import sys; open(sys.argv[1])", built), (sys.executable, "-c", meet, b, a)),
        ),
        session.Step("build", 60, ((sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", built),), alone=True),
    ]
    monkeypatch.setattr(session, "steps", lambda out, work, architectures, more=(): listed)
    monkeypatch.setattr(sys, "argv", ["check.py", "--out", str(tmp_path), "--together"])
    assert session.main() == 0
    record = [entry["step"] for entry in json.loads((tmp_path / "session.json").read_text())]
    assert record[0] == "build"
    assert sorted(record[1:]) == ["one", "two"]


def test_steps_by_name(session: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in [command for step in session.steps(tmp_path, tmp_path, "90-real") for command in step.commands]:
        named = [part for part in path if part.startswith(("scripts/", "tests/"))]
        assert all((SCRIPTS.parents[1] / part).exists() for part in named), path
    monkeypatch.setattr(sys, "argv", ["check.py", "--out", str(tmp_path), "build", "nothing"])
    with pytest.raises(SystemExit):
        session.main()


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two parts with a wheel that is cut in two, and data."""
    maker = load("make_bundle", SCRIPTS / "make_bundle.py", monkeypatch)
    work, out = tmp_path / "work", tmp_path / "device-bundle"
    work.mkdir()
    wheel = work / "imn_bundled-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as file:
        file.writestr("imn_bundled.py", "answer = 42\n" + "#" * 9_000_000)
        info = "imn_bundled-1.0.dist-info"
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: imn-bundled\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    (work / "hello.txt").write_text("hello")
    archive = work / "data.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(work / "hello.txt", "hello.txt")
    entries = [
        {"kind": "archive", "name": archive.name, "to": "data", "from": str(archive)},
        {"kind": "wheel", "name": wheel.name, "package": "imn-bundled", "version": "1.0", "from": str(wheel)},
    ]
    parts = maker.pack(entries, work, out, 5 << 20)
    assert list(parts) == ["part1", "part2"]
    assert all(sum(p.stat().st_size for p in (out / part).iterdir()) <= 5 << 20 for part in parts)
    maker.describe(out, "3.12", 5 << 20, parts)
    (out / "manifest.json").write_text(json.dumps({"files": entries}))
    (out / "install.py").write_text((SCRIPTS / "bundle" / "install.py").read_text())
    return out


def test_the_bundle_has_every_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = load("make_bundle", SCRIPTS / "make_bundle.py", monkeypatch)
    project = tomllib.loads((SCRIPTS.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    needed = project["project"]["dependencies"] + project["build-system"]["requires"]
    names = {re.split(r"[<>=]", requirement)[0] for requirement in needed}
    packed = {name for packages in maker.GROUPS.values() for name in packages}
    assert names - packed == {"numpy"}  # the machine has it


def test_a_wheel_packed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = load("make_bundle", SCRIPTS / "make_bundle.py", monkeypatch)
    wheel = tmp_path / "x-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in ("x/kept.so", "x/gpu_plugin.so", "x/paddle_frontend.so"):
            file.writestr(name, b"0" * 1000)
    with zipfile.ZipFile(maker.smaller(wheel, "gpu_plugin", "paddle_frontend", tmp_path)) as file:
        assert {info.filename: info.file_size for info in file.infolist()} == {
            "x/kept.so": 1000,
            "x/paddle_frontend.so": 0,
        }


def install(bundle: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(bundle / "install.py"), "--into", str(into)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_parts_may_come_one_after_the_other(bundle: Path, tmp_path: Path) -> None:
    second = bundle / "part2"
    second.rename(tmp_path / "later")
    into = tmp_path / "there"
    first = install(bundle, into)
    assert first.returncode == 0, first.stderr
    assert "not complete yet: imn_bundled-1.0-py3-none-any.whl (parts part1, part2)" in first.stdout
    assert (into / "data" / "hello.txt").read_text() == "hello"
    # The second part takes the place of the first.
    (bundle / "part1").rename(tmp_path / "gone")
    (tmp_path / "later").rename(second)
    done = install(bundle, into)
    assert "installed: imn-bundled 1.0" in done.stdout, done.stdout + done.stderr
    code = "import imn_bundled; print(imn_bundled.answer)"
    shell = f". {into}/activate && {sys.executable} -c '{code}' && echo $IMN_SHARED_DATA"
    used = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60)
    assert used.stdout.split() == ["42", str(into / "data")], used.stderr


def test_a_damaged_part_is_refused(bundle: Path, tmp_path: Path) -> None:
    piece = next(path for path in (bundle / "part2").iterdir() if ".whl" in path.name)
    piece.write_bytes(piece.read_bytes()[:-1] + b"?")
    done = install(bundle, tmp_path / "there")
    assert done.returncode != 0
    assert f"{piece}: damaged" in done.stderr
