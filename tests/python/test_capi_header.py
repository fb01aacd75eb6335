"""The header of the C interface compiles as C and as C++, without anything but the standard headers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

INCLUDE = Path(__file__).resolve().parents[2] / "csrc" / "capi" / "include"


@pytest.mark.parametrize(
    ("compiler", "suffix", "standard"),
    [("gcc", "c", "c99"), ("gcc", "c", "c17"), ("g++", "cpp", "c++17"), ("g++", "cpp", "c++20")],
)
def test_header_compiles_alone(compiler: str, suffix: str, standard: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    source = tmp_path / f"alone.{suffix}"
    source.write_text("#include <ionmorphnet.h>\n")
    flags = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only"]
    found = subprocess.run(
        [compiler, f"-std={standard}", *flags, "-I", INCLUDE, source], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
