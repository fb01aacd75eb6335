"""Builds the library with sanitizers and runs the C tests against it. Run by `make sanitize`.

    python scripts/sanitize.py [thread] [address]

Without arguments both: ThreadSanitizer, then AddressSanitizer (with LeakSanitizer) and UndefinedBehaviorSanitizer. The
programs are tests/capi/behaviour.cpp, concurrency.cpp and misuse.c, linked to the static library. A report of a
sanitizer ends a program with an error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ionmorphnet as imn

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "tests" / "capi"
MODELS = ROOT / "python" / "ionmorphnet" / "models" / "bundled"
SANITIZERS = {"thread": "thread", "address": "address,undefined"}
# Children of fork() may start threads. The watch for files that shrink has SIGBUS.
OPTIONS = {
    "TSAN_OPTIONS": "halt_on_error=1:die_after_fork=0:second_deadlock_stack=1",
    "ASAN_OPTIONS": "detect_leaks=1:handle_sigbus=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
# Arguments after the section: the models' folder, a folder to write to, or a number.
CASES = {
    "behaviour": {
        **dict.fromkeys(("readings", "reader", "versions", "fails", "logs"), ""),
        "shrinks": "{folder}",
        "exceptions": "{models}",
    },
    "concurrency": {
        **dict.fromkeys(("threads", "released"), ""),
        **dict.fromkeys(("shared", "cancels", "failures", "fork"), "{models}"),
    },
}


def tool(name: str) -> str:
    """A build tool of the environment, or of the system."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return found


def run(*command: object) -> str:
    env = {**os.environ, **OPTIONS}
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(kind: str) -> Path:
    """The folder with the static library and the programs."""
    folder = ROOT / "build" / f"sanitize-{kind}"
    flags = [f"-fsanitize={SANITIZERS[kind]}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
    options = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DIMN_WITH_PYTHON=OFF", "-DIMN_WITH_CUDA=OFF"]
    ninja = f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"
    run(tool("cmake"), "-S", ROOT, "-B", folder, "-G", "Ninja", ninja, *options, f"-DIMN_SANITIZE={SANITIZERS[kind]}")
    run(tool("cmake"), "--build", folder, "--target", "ionmorphnet_static")
    include = ["-DIMN_STATIC", "-I", ROOT / "csrc" / "capi" / "include"]
    library = [folder / "libionmorphnet.a", "-lz", "-lexpat", "-ldl", "-pthread"]
    c, cxx = os.environ.get("CC", "gcc"), os.environ.get("CXX", "g++")
    for name in CASES:
        run(cxx, "-std=c++17", *flags, *include, SOURCES / f"{name}.cpp", *library, "-o", folder / name)
    run(c, "-std=c99", *flags, *include, "-c", SOURCES / "misuse.c", "-o", folder / "misuse.o")
    run(cxx, *flags, folder / "misuse.o", *library, "-o", folder / "misuse")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="thread, address (default: both)")
    kinds = parser.parse_args().kinds or list(SANITIZERS)
    if not set(kinds) <= set(SANITIZERS):
        parser.error(f"choose from {', '.join(SANITIZERS)}")
    with tempfile.TemporaryDirectory() as temporary:
        section = Path(temporary) / "section.imzML"
        imn.simulate(section, shape=(30, 34), n_channels=24, seed=3)
        for kind in kinds:
            start = time.monotonic()
            folder = build(kind)
            print(f"{SANITIZERS[kind]}: built in {time.monotonic() - start:.0f} s", flush=True)
            start = time.monotonic()
            for program, cases in CASES.items():
                for case, argument in cases.items():
                    run(folder / program, case, section, argument.format(models=MODELS, folder=temporary))
                    print(f"  {program} {case}: ok", flush=True)
            print(f"  misuse: {run(folder / 'misuse', section, MODELS).splitlines()[-1]}")
            print(f"{SANITIZERS[kind]}: no reports, tests ran {time.monotonic() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
