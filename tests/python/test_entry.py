"""What only a process of its own shows: exit codes, closed pipes, Ctrl-C, terminals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ionmorphnet as imn

COMMAND = [sys.executable, "-m", "ionmorphnet"]


def arguments_of(name: str, section: Path, out: Path) -> list[str]:
    pick = ["pick", str(section), "-o", str(out), "--scorer", "moran", "--top", "3"]
    return {
        "pick": pick,
        "json": [*pick, "--json"],
        "info": ["info", str(section)],
        "help": ["pick", "--help"],
        "group help": ["--help"],
    }[name]


@pytest.mark.parametrize("name", ["pick", "json", "info", "help", "group help"])
def test_a_closed_pipe_is_no_failure(name: str, section: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, *arguments_of(name, section, tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, b"")
    if name in ("pick", "json"):
        assert (tmp_path / "small section" / "run.json").is_file()


def test_an_error_into_a_closed_pipe_keeps_its_code(tmp_path: Path) -> None:
    process = subprocess.Popen([*COMMAND, "info", str(tmp_path / "absent.imzML")], stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=60) == 2


def test_ctrl_c_while_the_commands_are_loaded() -> None:
    program = """
import sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "ionmorphnet.cli.app":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
from ionmorphnet.cli.entry import main
main(["--version"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "ionmorphnet: stopped\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_leave_nothing_half_written(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "large.imzML"
    imn.simulate(path, shape=(60, 60), n_channels=1500, mode="continuous", seed=2)
    process = subprocess.Popen(
        [*COMMAND, "pick", str(path), "-o", str(tmp_path / "out"), "--precision", "f32"],
        stderr=subprocess.PIPE,
        text=True,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    until = time.monotonic() + 60
    while "large.ibd" not in maps.read_text():
        assert process.poll() is None, "ended before it could be interrupted"
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.strip().splitlines()[-1] == "ionmorphnet: stopped"
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (
            ["images", "SECTION", "--mz", "300", "--ppm", "5", "-o", "OUT.npz"],
            "ionmorphnet:Dataset.ion_images",
        ),
        (["simulate", "OUT.imzML", "--shape", "16", "16"], "ionmorphnet.io.imzml_writer:ImzMLWriter.close"),
        (["simulate-images", "OUT.npz"], "numpy:savez_compressed"),
        (["demo", "-o", "OUT"], "ionmorphnet.io.imzml_writer:ImzMLWriter.close"),
        (["pick", "SECTION", "-o", "OUT", "--scorer", "moran", "--top", "1"], "pandas:DataFrame.to_csv"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_sigterm_leaves_nothing_of_any_command(command: list[str], target: str, section: Path, tmp_path: Path) -> None:
    """The signal comes at the start of a function in the middle of the work."""
    program = """
import importlib, signal, sys
module, name = sys.argv[1].split(":")
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
def stopped(*_, **__):
    signal.raise_signal(signal.SIGTERM)
setattr(owner, last, stopped)
from ionmorphnet.cli.entry import main
main(sys.argv[2:])
"""
    out = tmp_path / "new"
    arguments = [word.replace("SECTION", str(section)).replace("OUT", str(out)) for word in command]
    done = subprocess.run(
        [sys.executable, "-c", program, target, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip().splitlines()[-1:]) == (130, ["ionmorphnet: stopped"]), done
    assert list(tmp_path.iterdir()) == []


def test_a_bar_on_a_terminal_and_none_in_a_pipe(section: Path, tmp_path: Path) -> None:
    arguments = [*COMMAND, *arguments_of("pick", section, tmp_path)]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    try:
        while piece := os.read(ours, 4096):
            drawn += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(ours)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    for text in (b"small section.imzML: opening", b"finding channels", b"images", "\u2501".encode()):
        assert text in drawn
    assert b"\x1b" not in stdout
    piped = subprocess.run(arguments, capture_output=True, check=False)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert b"3 of" in piped.stdout
