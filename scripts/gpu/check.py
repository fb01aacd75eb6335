"""Checks the package on a machine with an NVIDIA GPU: builds, tests, measures, and records every result.

python scripts/gpu/check.py --out RESULTS [STEP ...] [--budget SECONDS] [--together]
    [--architectures 90-real] [--define N=V]

Needs the CUDA toolkit (nvcc 12.8 or newer), Python 3.11 or newer with pip, the build requirements of pyproject.toml,
pytest, and the headers of expat, zlib and nlohmann-json. compute-sanitizer, TensorRT and real test data
(IMN_SHARED_DATA) are optional: steps that need a missing program are skipped. On a machine without network access,
install a device bundle first (scripts/gpu/bundle/README.md).

Each step has its own time limit; a step that fails or times out does not stop the next one. If time on the machine
is short, --together runs all steps that measure no time (picks, tests, memcheck, racecheck ...) at once, after the
steps that need the machine to themselves.
RESULTS/session.json records what ran and how it ended; RESULTS/logs.tar.gz holds the complete output.
Steps, in order: {steps}.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TAIL = 4000  # characters of a step's output in session.json
# Tests for the memory checkers, which slow execution down a lot: each runs a kernel on the device and in the emulation.
DEVICE_TESTS = ["tests/parity/test_device_stages.py", "tests/parity/test_bin_kernels.py"]


@dataclass(frozen=True)
class Step:
    """A command and how long it may take, in seconds."""

    name: str
    limit: float
    commands: tuple[tuple[str, ...], ...]
    needs: str = ""  # a program that must be installed
    environment: tuple[tuple[str, str], ...] = ()
    alone: bool = False  # measures time, or makes what later steps need


def steps(out: Path, work: Path, architectures: str, more: tuple[str, ...] = ()) -> list[Step]:
    python = sys.executable
    # The machine may have other package versions than constraints.txt: their deprecation warnings are not failures.
    plain = (python, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:benchmark")
    plain += ("-W", "default::DeprecationWarning", "-W", "default::FutureWarning")
    if importlib.util.find_spec("pytest_timeout"):
        plain += ("--timeout", "200")
    # -v for the whole suite: a run that is cut off has still named the tests that failed.
    pytest, named = (*plain, "-q"), (*plain, "-v")
    # All cores where pytest-xdist is installed; the memory checkers run one process.
    spread = ("-n", str(max(1, (os.cpu_count() or 1) - 2))) if importlib.util.find_spec("xdist") else ()
    openvino = "ON" if importlib.util.find_spec("openvino") else "OFF"
    install = (python, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", *_target())
    defines = {
        "IMN_BUILD_TESTING": "ON",
        "IMN_WITH_CUDA": "ON",
        "IMN_WITH_OPENVINO": openvino,
        "IMN_CUDA_ARCHITECTURES": architectures,
    }
    defines |= dict(item.split("=", 1) for item in more)
    build = (
        *install,
        "--upgrade",
        ".",
        *(part for k, v in defines.items() for part in ("-C", f"cmake.define.{k}={v}")),
    )
    required = (("IMN_REQUIRE_GPU", "1"),)
    # The chaos kernel reads labels while other threads join them atomically: safe in union-find, but reported.
    unchecked = ("--kernel-regex-exclude", "kernel_substring=ChaosKernel")
    sanitizer = ("compute-sanitizer", "--error-exitcode", "86", "--target-processes", "all")
    checked = (*pytest, "-k", "cuda or gpu", *DEVICE_TESTS)
    return [
        Step(
            "facts",
            60,
            (("nvidia-smi",), ("nvcc", "--version"), ("df", "-h"), (python, "-m", "pip", "list")),
            alone=True,
        ),
        Step("build", 480, (build,), alone=True),
        Step("info", 60, ((python, "-m", "ionmorphnet", "info", "--system", "--json"),), alone=True),
        Step(
            "parity",
            240,
            ((*pytest, *spread, "-k", "cuda or gpu", f"--junitxml={out}/parity.xml", "tests"),),
            "",
            required,
        ),
        Step(
            "picks",
            240,
            (
                (
                    python,
                    "scripts/gpu/pick_parity.py",
                    *sections(),
                    "--simulate",
                    f"{work}/picks",
                    "--json",
                    f"{out}/picks.json",
                ),
            ),
        ),
        # An engine built for this GPU, then one built for another GPU, loaded regardless of its sidecar.
        Step(
            "tensorrt",
            240,
            (
                (python, "scripts/gpu/tensorrt_on_device.py", "reference", f"{work}/reference.npz"),
                (python, "scripts/gpu/tensorrt_on_device.py", "run", f"{work}/reference.npz", "--json"),
                (python, "-m", "ionmorphnet", "engine", "build", "--target", "sm_89", "-o", f"{work}/sm_89.engine"),
                (python, "scripts/gpu/tensorrt_on_device.py", "ask", f"{work}/sm_89.engine"),
            ),
            alone=True,
        ),
        Step(
            "benchmarks",
            500,
            tuple(
                (python, "-m", "benchmarks", name, "--json", f"{out}/{name}.json", "--work", f"{work}")
                for name in ("device", "device_read")
            ),
            "",
            (("IMN_DEVICE_BUDGET_S", os.environ.get("IMN_DEVICE_BUDGET_S", "400")),),
            alone=True,
        ),
        Step("tests", 560, ((*named, *spread, f"--junitxml={out}/tests.xml"),), "", required),
        Step("memcheck", 240, ((*sanitizer, "--tool", "memcheck", *checked),), "compute-sanitizer", required),
        Step(
            "racecheck",
            240,
            ((*sanitizer, "--tool", "racecheck", *unchecked, *checked),),
            "compute-sanitizer",
            required,
        ),
        Step("cubins", 200, ((python, "scripts/gpu/cubin_report.py", "--json", f"{out}/cubins.json"),), "nvcc"),
    ]


def sections() -> list[str]:
    """The real sections present in the test data."""
    data = Path(os.environ.get("IMN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    return [str(path) for name in ("bladder79", "barley101") for path in sorted((data / name).glob("*.imzML"))]


def _target() -> tuple[str, ...]:
    """Installs next to a bundle's packages, if any: the extension looks for OpenVINO in the same folder."""
    first = os.environ.get("PYTHONPATH", "").split(os.pathsep)[0]
    return ("--target", first) if Path(first).name == "site" else ()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").format(steps=", ".join(step.name for step in steps(Path(), Path(), ""))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="STEP", help="run only these steps (default: all)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=3600, help="seconds for all steps together (default 3600)")
    parser.add_argument("--together", action="store_true", help="run steps that measure no time at once, at the end")
    parser.add_argument("--architectures", default="90-real", help="CUDA architectures to build for (default 90-real)")
    parser.add_argument("--define", action="append", default=[], metavar="NAME=VALUE", help="for CMake; repeatable")
    arguments = parser.parse_args()
    if wrong := [item for item in arguments.define if "=" not in item]:
        parser.error(f"--define {wrong[0]}: expected NAME=VALUE")
    out: Path = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    known = [step.name for step in steps(out, out, "")]
    if unknown := set(arguments.names) - set(known):
        parser.error(f"unknown step {', '.join(sorted(unknown))}")
    end = time.monotonic() + arguments.budget
    record: list[dict] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        listed = steps(out, work, arguments.architectures, tuple(arguments.define))
        chosen = [step for step in listed if not arguments.names or step.name in arguments.names]
        for entry in entries(chosen, work, end, together=arguments.together):
            record.append(entry)
            print(f"== {entry['step']}: {entry['state']} ({entry['seconds']:.0f} s) {entry['why']}", flush=True)
            # After every step, so that an interrupted session keeps its results.
            (out / "session.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            with tarfile.open(out / "logs.tar.gz", "w:gz") as logs:
                for path in sorted(work.glob("*.log")):
                    logs.add(path, path.name)
    return 0 if all(entry["state"] in ("passed", "skipped") for entry in record) else 1


def entries(chosen: list[Step], work: Path, end: float, *, together: bool) -> Iterator[dict]:
    """Yields the result of each step, in the order in which they end."""
    at_once = [step for step in chosen if together and not step.alone]
    for step in chosen:
        if step not in at_once:
            yield run(step, work, end)
    with ThreadPoolExecutor(max(1, len(at_once))) as pool:
        for done in as_completed([pool.submit(run, step, work, end) for step in at_once]):
            yield done.result()


def run(step: Step, work: Path, end: float) -> dict:
    """Runs all commands of a step in order, even after a failure; their output goes to <step>.log."""
    started = time.monotonic()
    entry: dict = {"step": step.name, "commands": [" ".join(command) for command in step.commands]}
    state, why = "passed", ""
    if step.needs and shutil.which(step.needs) is None:
        state, why = "skipped", f"{step.needs} is not installed"
    log = work / f"{step.name}.log"
    with log.open("wb") as output:
        for command in step.commands if state == "passed" else ():
            left = min(step.limit - (time.monotonic() - started), end - time.monotonic())
            if left <= 0:
                state, why = "out of time", f"before {' '.join(command)}"
                break
            code = limited(command, left, output, dict(step.environment))
            if code is None:
                state, why = "out of time", f"{' '.join(command)} after {left:.0f} s"
                break
            if code != 0:
                state, why = "failed", f"{' '.join(command)}: exit status {code}"
    tail = log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
    return entry | {"state": state, "why": why, "seconds": time.monotonic() - started, "tail": tail}


def limited(command: tuple[str, ...], seconds: float, output, environment: dict[str, str]) -> int | None:
    """Returns the exit status, or None if the command timed out and was killed with its children."""
    try:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        output.write(f"{command[0]}: {error.strerror}\n".encode())
        output.flush()
        return 127
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


if __name__ == "__main__":
    sys.exit(main())
