"""Results that another input, another process or a signal could destroy."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ionmorphnet as imn
from ionmorphnet.base.file_lock import FileLock
from ionmorphnet.cli.app import sigterm_as_ctrl_c
from ionmorphnet.picking.outputs import PreparedFolder

Command = Callable[..., Any]
QUICK = ("--scorer", "moran", "--top", 3)
UUID = re.compile(r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")


def copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".imzML", ".ibd"):
        shutil.copyfile(source.with_suffix(suffix), target.with_suffix(suffix))
    return target


def with_uuid(path: Path, uuid: str) -> Path:
    text, n = UUID.subn(uuid, path.read_text(encoding="utf-8"), count=1)
    assert n == 1
    path.write_text(text, encoding="utf-8")
    ibd = path.with_suffix(".ibd")
    ibd.write_bytes(bytes.fromhex(uuid.replace("-", "").strip("{}")) + ibd.read_bytes()[16:])
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """The sections of two patients under one file name."""
    paths = (tmp_path / "p1" / "s.imzML", tmp_path / "p2" / "s.imzML")
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        imn.simulate(path, shape=(16, 16), n_channels=20, seed=seed)
    return paths


def results(out: Path) -> dict[str, str]:
    """Result folders, and of which input they are."""
    found = {}
    for path in out.rglob("run.json"):
        found[path.parent.relative_to(out).as_posix()] = json.loads(path.read_text())["input"]["path"]
    return found


def test_the_result_of_another_input_stays(cli: Command, two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", two[0], "-o", out, *QUICK).code == 0
    before = contents(out)
    done = cli("pick", two[1], "-o", out, *QUICK)
    assert done.code == 0
    assert done.stderr == f"note: s.imzML: {out}/s holds the result of {two[0]}; the result is in {out}/p2/s\n"
    assert results(out) == {"s": str(two[0]), "p2/s": str(two[1])}
    assert contents(out).items() > before.items()
    document = json.loads(cli("pick", two[1], two[0], "-o", tmp_path / "both", *QUICK, "--json").stdout)
    assert [len(document[kind]) for kind in ("results", "failures")] == [2, 0]
    assert results(tmp_path / "both") == {"p1/s": str(two[0]), "p2/s": str(two[1])}


def test_a_name_that_another_input_has_is_refused_before_the_work(
    cli: Command, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o"
    assert cli("pick", two[0], "-o", out, "--name", "mouse/left", *QUICK).code == 0
    assert results(out) == {"mouse/left": str(two[0])}
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr("ionmorphnet.picking.batch.pick", lambda *_, **__: pytest.fail("the section was picked"))
        done = cli("pick", two[1], "-o", out, "--name", "mouse/left", *QUICK)
    assert done.code == 2
    place = out / "mouse" / "left"
    done.is_one_line_error(f"{place}: holds the result of {two[0]}; choose another folder or pass --overwrite")
    assert contents(out) == before


def test_a_refused_input_stops_no_other(cli: Command, two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert pick_into(two[0], out) == ""
    free = copy(two[1], two[1].with_name("t.imzML"))
    copy(two[1], two[0])  # another section takes the place of the file
    done = cli("pick", two[0], free, "-o", out, *QUICK, "--json")
    assert done.code == 1
    document = json.loads(done.stdout)
    assert [failure["file"] for failure in document["failures"]] == [str(two[0])]
    assert [result["file"] for result in document["results"]] == [str(free)]


def test_overwrite_replaces_it(cli: Command, two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", two[0], "-o", out, *QUICK, "--report").code == 0
    assert cli("pick", two[1], "-o", out, *QUICK, "--overwrite").code == 0
    run = imn.open_run(out / "s").run
    assert run is not None
    assert run.input.path == str(two[1])
    assert not (out / "s" / "report.html").exists()


def test_save_refuses_it_too(two: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = (imn.pick(path, scorer="moran", top=2) for path in two)
    first.save(tmp_path / "o")
    before = contents(tmp_path / "o")
    with pytest.raises(imn.FileError, match=r"holds the result of .*p1.*overwrite=True"):
        second.save(tmp_path / "o")
    assert contents(tmp_path / "o") == before
    first[:1].save(tmp_path / "o")
    second.save(tmp_path / "o", overwrite=True)
    assert imn.open_run(tmp_path / "o").run == second.run


def pick_into(path: Path, out: Path) -> str:
    (outcome,) = imn.pick_files([path], out, scorer="moran", top=2)
    return outcome.message


def test_the_same_input_keeps_its_folder_wherever_it_lies(two: tuple[Path, Path], tmp_path: Path) -> None:
    assert pick_into(two[0], tmp_path / "o") == ""
    assert pick_into(two[0], tmp_path / "o") == ""
    assert pick_into(copy(two[0], tmp_path / "moved" / "s.imzML"), tmp_path / "o") == ""


@pytest.mark.parametrize("uuid", ["00000000-0000-0000-0000-000000000000", "{01234567-89AB-cdef-0123-456789abcdef}"])
def test_converters_that_give_each_file_one_uuid(uuid: str, two: tuple[Path, Path], tmp_path: Path) -> None:
    imn.simulate(two[1], shape=(17, 16), n_channels=20, seed=1)
    for path in two:
        with_uuid(path, uuid)
    assert pick_into(two[0], tmp_path / "o") == ""
    assert pick_into(two[0], tmp_path / "o") == ""
    assert pick_into(two[1], tmp_path / "o") == ""
    assert results(tmp_path / "o") == {"s": str(two[0]), "p2/s": str(two[1])}


def test_spellings_of_one_uuid(two: tuple[Path, Path], tmp_path: Path) -> None:
    assert pick_into(with_uuid(two[0], "{01234567-89AB-cdef-0123-456789abcdef}"), tmp_path / "o") == ""
    moved = copy(two[0], tmp_path / "moved" / "s.imzML")
    assert pick_into(with_uuid(moved, "01234567-89ab-cdef-0123-456789abcdef"), tmp_path / "o") == ""


def test_a_file_that_took_the_place_of_the_input(two: tuple[Path, Path], tmp_path: Path) -> None:
    assert pick_into(two[0], tmp_path / "o") == ""
    copy(two[1], two[0])
    assert re.search(rf"holds the result of {two[0]} as it was with UUID \w{{32}}; ", pick_into(two[0], tmp_path / "o"))


def test_another_plane_is_another_input(two_planes: Path, tmp_path: Path) -> None:
    with imn.open(two_planes) as ds:
        imn.pick(ds.plane(2), scorer="moran", top=1).save(tmp_path / "o")
        with pytest.raises(imn.FileError, match=r"z\.imzML z=2; choose another folder"):
            imn.pick(ds.plane(1), scorer="moran", top=1).save(tmp_path / "o")


def test_the_planes_of_a_file_stay_together(two_planes: Path, section: Path, tmp_path: Path) -> None:
    imn.pick(section, scorer="moran", top=1).save(tmp_path / "o" / "z_z2")
    assert pick_into(two_planes, tmp_path / "o") == ""
    above = two_planes.parent.name
    assert set(results(tmp_path / "o")) == {"z_z2", f"{above}/z_z1", f"{above}/z_z2"}


@pytest.mark.parametrize("text", ["", "[]", '{"input": {"path": "x"}}', '{"mine": 1}'])
def test_a_record_that_tells_no_input(text: str, section: Path, tmp_path: Path) -> None:
    folder = tmp_path / section.stem
    folder.mkdir()
    (folder / "run.json").write_text(text)
    assert "run.json that does not tell the input" in pick_into(section, tmp_path)
    assert contents(folder) == {"run.json": text.encode()}


def test_the_demo_keeps_the_result_of_others(cli: Command, two: tuple[Path, Path], tmp_path: Path) -> None:
    imn.pick(two[0], scorer="moran", top=1).save(tmp_path / "o" / "demo")
    before = contents(tmp_path / "o")
    done = cli("demo", "-o", tmp_path / "o")
    assert done.code == 2
    done.is_one_line_error(f"{tmp_path / 'o' / 'demo'}: holds the result of {two[0]}; choose another folder")
    assert contents(tmp_path / "o") == before


def run_in_another_process(*code: str) -> subprocess.Popen[str]:
    """Starts a program that says when it is ready and then waits for its stdin."""
    program = "\n".join(("import sys, pathlib, ionmorphnet as imn", *code))
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    return holder


def picking_process(path: Path, out: Path) -> subprocess.Popen[str]:
    """Picks a file and pauses in the middle of the work."""
    return run_in_another_process(
        "def wait(at):",
        "    if at.stage == 'writing': print('ready', flush=True); sys.stdin.readline()",
        f"(done,) = imn.pick_files([{str(path)!r}], {str(out)!r}, scorer='moran', top=2, progress=wait)",
        "sys.exit(done.message or 0)",
    )


def test_a_second_writer_is_told_who_is_first(cli: Command, two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o"
    with picking_process(two[0], out) as first:
        message = (
            rf"{out / 's'}: another pick writes to it \(process {first.pid} on [^\n]*\); wait for its end or choose"
        )
        assert re.match(message, pick_into(two[0], out))
        cli("pick", two[0], "-o", out, *QUICK, "--overwrite").is_one_line_error("another pick writes to it")
        named = cli("pick", two[1], "-o", out, *QUICK, "--name", "s")
        named.is_one_line_error("another pick writes to it")
        with pytest.raises(imn.FileError, match=message):
            imn.pick(two[0], scorer="moran", top=1).save(out / "s")
        done = cli("pick", two[1], "-o", out, *QUICK)
        assert done.code == 0
        assert done.stderr.startswith(f"note: s.imzML: {out}/s is being written to by a pick of {two[0]}; ")
        first.communicate("\n")
    assert first.returncode == 0
    assert {path.name for path in (out / "s").iterdir()} == {"peaks.csv", "scores.csv", "run.json"}
    assert results(out) == {"s": str(two[0]), "p2/s": str(two[1])}
    assert pick_into(two[0], out) == ""


def test_a_killed_writer_blocks_nobody(two: tuple[Path, Path], tmp_path: Path) -> None:
    with picking_process(two[0], tmp_path / "o") as first:
        first.kill()
    assert [path.name for path in (tmp_path / "o" / "s").iterdir()] == [".ionmorphnet.lock"]
    assert pick_into(two[1], tmp_path / "o") == ""
    assert not (tmp_path / "o" / "s" / ".ionmorphnet.lock").exists()


def test_the_folder_is_checked_again_under_the_lock(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PreparedFolder.__enter__

    def late(self: PreparedFolder) -> PreparedFolder:
        monkeypatch.setattr(PreparedFolder, "__enter__", real)
        imn.pick(two[0], scorer="moran", top=1).save(self.folder)  # another process, just before the lock
        return real(self)

    monkeypatch.setattr(PreparedFolder, "__enter__", late)
    assert pick_into(two[1], tmp_path / "o") == ""
    assert results(tmp_path / "o") == {"s": str(two[0]), "p2/s": str(two[1])}


def test_two_threads_do_not_share_a_folder(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    with PreparedFolder(tmp_path / "o"):
        with pytest.raises(imn.FileError, match="another pick writes to it"), PreparedFolder(tmp_path / "o"):
            raise AssertionError("the block must not run")
        (tmp_path / "link").symlink_to(tmp_path / "o")
        with pytest.raises(imn.FileError, match="link: another pick"), PreparedFolder(tmp_path / "link"):
            raise AssertionError("the block must not run")
    assert list((tmp_path / "o").iterdir()) == []


def test_file_systems_without_locks(section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", flock)
    assert pick_into(section, tmp_path) == ""
    with pytest.raises(imn.FileError, match="cannot be locked: Operation not supported"):
        FileLock(tmp_path / "labels.csv")


def test_sigterm_keeps_what_is_complete(
    cli: Command, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = imn.PeakList.report

    def interrupted(peaks: imn.PeakList, path: Path) -> None:
        if "p2" in str(path):
            signal.raise_signal(signal.SIGTERM)
        real(peaks, path)

    monkeypatch.setattr(imn.PeakList, "report", interrupted)
    done = cli("pick", *two, "-o", tmp_path / "o", *QUICK, "--report")
    assert (done.code, done.stderr.strip()) == (130, "ionmorphnet: stopped")
    assert len(imn.open_run(tmp_path / "o" / "p1" / "s")) == 3
    assert not (tmp_path / "o" / "p2").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_the_caller_stays() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with sigterm_as_ctrl_c():
            signal.raise_signal(signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with sigterm_as_ctrl_c():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
