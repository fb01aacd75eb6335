"""Ctrl-C and SIGTERM at each step of preparing, filling and replacing a result folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ionmorphnet.base.deferred_signals import DeferredSignals
from ionmorphnet.base.file_lock import FileLock
from ionmorphnet.picking.outputs import PreparedFolder, replaced_result

STEPS = ("outputs.py", "file_lock.py", "deferred_signals.py")


def interrupted_at(step: int, number: signal.Signals, work: Callable[[], object]) -> bool:
    """Runs some work and sends a signal before its n-th line; says whether it came to that line."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        if Path(frame.f_code.co_filename).name not in STEPS:
            return None
        if event == "line":
            lines += 1
            if lines == step:
                signal.raise_signal(number)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return lines >= step


def at_each_step(number: signal.Signals, work: Callable[[], object], check: Callable[[], object]) -> int:
    kept = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as on the command line
    handlers = {each: signal.getsignal(each) for each in kept}
    step = 1
    try:
        while interrupted_at(step, number, work):
            check()
            assert {each: signal.getsignal(each) for each in kept} == handlers, step
            step += 1
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
    return step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_step_of_preparing_a_folder_leaves_one(number: signal.Signals, tmp_path: Path) -> None:
    def work() -> None:
        with PreparedFolder(tmp_path / "a" / "b"):
            pass

    assert at_each_step(number, work, lambda: gone(tmp_path / "a")) > 60


def gone(path: Path) -> None:
    assert not path.exists(), sorted(path.rglob("*"))


def test_no_step_of_locking_leaves_a_lock(tmp_path: Path) -> None:
    def work() -> None:
        FileLock(tmp_path / "x").release()

    assert at_each_step(signal.SIGINT, work, lambda: gone(tmp_path / "x.lock")) > 30


def test_no_step_of_replacing_mixes_two_results(tmp_path: Path) -> None:
    """After each step the folder holds the old result or the new one, whole, and nothing else."""
    folder = tmp_path / "s"
    old, new = {"run.json", "peaks.csv", "scores.csv", "report.html"}, {"run.json", "peaks.csv", "scores.csv"}

    def fill() -> None:
        folder.mkdir(exist_ok=True)
        for name in old:
            (folder / name).write_text("old")
        (folder / "notes.txt").write_text("mine")

    def work() -> None:
        fill()
        with PreparedFolder(folder), replaced_result(folder) as stage:
            for name in new:
                (stage / name).write_text("new")

    seen = set()

    def check() -> None:
        found = {path.name: path.read_text() for path in folder.iterdir()}
        assert found.pop("notes.txt") == "mine"
        assert found in (dict.fromkeys(old, "old"), dict.fromkeys(new, "new"))
        seen.update(found.values())

    assert at_each_step(signal.SIGINT, work, check) > 100
    assert seen == {"old", "new"}


def test_signals_wait_and_then_take_effect() -> None:
    steps = []

    def work() -> None:
        with DeferredSignals():
            with DeferredSignals():
                signal.raise_signal(signal.SIGINT)
                steps.append("inner")
            steps.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
