"""Writes the stubs of the native modules, or checks that the committed ones match the built modules (--check)."""

from __future__ import annotations

import argparse
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "ionmorphnet"
MODULES = ("_core", "_core_testing")
INTEGER = "typing.SupportsInt | typing.SupportsIndex"
NUMBER = "typing.SupportsFloat | typing.SupportsIndex"
NAMES = "continuous|processed|profile|centroid"  # which pybind11-stubgen takes for names of types


def generated(module: str) -> str:
    """The stub of a built module, formatted as the committed ones are."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", f"ionmorphnet.{module}", "-o", folder]
        command += ["--ignore-unresolved-names", f"^({NAMES})$"]
        subprocess.run(command, check=True)
        text = (Path(folder) / "ionmorphnet" / f"{module}.pyi").read_text(encoding="utf-8")
    # Values of attributes depend on the build.
    text = re.sub(r"^(\w+: (?:str|int|bool)) = .*$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(rf"\b({NAMES})\b(?=[^\[\n]*\])", r'"\1"', text)
    text = text.replace(INTEGER, "int").replace(NUMBER, "float")
    text = f"# Made from the built module by `make stubs`; do not edit.\n{text}"
    for command in (["check", "--quiet", "--fix", "--select", "I,UP,RUF022"], ["format", "--quiet"]):
        path = PACKAGE / f"{module}.pyi"
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a stub is out of date")
    check = parser.parse_args().check
    stale = 0
    for module in MODULES:
        path, text = PACKAGE / f"{module}.pyi", generated(module)
        committed = path.read_text(encoding="utf-8") if path.exists() else ""
        if committed == text:
            continue
        if check:
            pair = committed.splitlines(), text.splitlines()
            print("\n".join(difflib.unified_diff(*pair, path.name, "built module", lineterm="")))
            print(f"{path.name}: differs from the built module; run `make stubs`", file=sys.stderr)
            stale = 1
        else:
            path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
