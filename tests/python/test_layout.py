"""The layout is the architecture: who may include whom, and how long a file may be."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["core", "io", "images", "preprocess", "score", "pick", "pipeline"]
MAX_LINES = 500


def _sources(*suffixes: str) -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout.decode()
    except FileNotFoundError:  # no git on this machine
        listed = ""
    files = [ROOT / name for name in listed.split("\0") if name] or _unpacked_files()
    return [path for path in files if path.suffix in suffixes and path.is_file()]


def _unpacked_files() -> list[Path]:
    """Without git (an unpacked source archive): everything but build products and hidden folders."""
    parts = [(path, path.relative_to(ROOT).parts) for path in ROOT.rglob("*")]
    return [path for path, names in parts if not any(name.startswith(".") or name == "build" for name in names)]


def _included_folders(path: Path) -> set[str]:
    return set(re.findall(r'#include "([a-z]+)/', path.read_text(encoding="utf-8")))


def _violations(folder: str, included: set[str]) -> set[str]:
    if folder == "bindings":
        return set()
    return included - set(STAGES[: STAGES.index(folder) + 1])


def test_stages_include_only_leftwards() -> None:
    native = [path for path in _sources(".h", ".cpp", ".cu", ".cuh") if path.relative_to(ROOT).parts[0] == "csrc"]
    assert len(native) > 20
    wrong = {
        str(path.relative_to(ROOT)): bad
        for path in native
        if (bad := _violations(path.relative_to(ROOT).parts[1], _included_folders(path)))
    }
    assert wrong == {}


def test_the_include_check_sees_a_violation(tmp_path: Path) -> None:
    header = tmp_path / "x.h"
    header.write_text('#include "core/error.h"\n#include "score/scorer.h"\n')
    assert _violations("io", _included_folders(header)) == {"score"}


def test_core_knows_no_python() -> None:
    for path in _sources(".h", ".cpp"):
        parts = path.relative_to(ROOT).parts
        if parts[0] == "csrc" and parts[1] != "bindings":
            assert not re.search(r"#include [<\"](pybind11|Python\.h|torch)", path.read_text(encoding="utf-8")), path


def _cuda_faults(path: Path, text: str) -> list[str]:
    """How a native file breaks the rules of CUDA code: a build without CUDA compiles what is not named after it."""
    in_core = path.parts[:2] == ("csrc", "core")
    own = path.parts[:3] == ("csrc", "core", "cuda") or path.stem.endswith("_cuda")
    faults = []
    if not own and re.search(r"#include <cuda", text):
        faults.append("includes CUDA headers")
    if not in_core and re.search(r"^\s*#\s*(if|elif).*(CUDA|NVCC)", text, re.MULTILINE):
        faults.append("asks for CUDA with the preprocessor")
    if "<<<" in text and path.name != "launch.h":
        faults.append("launches past core/cuda/launch.h")
    return faults


def test_cuda_stays_in_its_files() -> None:
    files = {path.relative_to(ROOT): path for path in _sources(".h", ".cpp", ".cu")}
    faults = {str(name): _cuda_faults(name, path.read_text(encoding="utf-8")) for name, path in files.items()}
    assert {name: found for name, found in faults.items() if found} == {}
    assert any("launch.h" in str(name) for name in files)


@pytest.mark.parametrize(
    ("name", "text", "faults"),
    [
        ("csrc/images/bin_cuda.cu", "#include <cuda_runtime.h>\nk<<<1, 2>>>();", 1),
        ("csrc/images/bin_cuda.h", "#include <cuda_runtime_api.h>", 0),
        ("csrc/images/bin.cpp", "#include <cuda_runtime_api.h>", 1),
        ("csrc/images/bin.cpp", "#ifdef __CUDACC__", 1),
        ("csrc/core/host_device.h", "#ifdef __CUDACC__", 0),
        ("csrc/core/error.h", "#include <cuda.h>", 1),
        ("csrc/core/cuda/launch.h", "kernel<<<grid, threads>>>();", 0),
    ],
)
def test_the_cuda_check_sees_faults(name: str, text: str, faults: int) -> None:
    assert len(_cuda_faults(Path(name), text)) == faults


@pytest.mark.parametrize("suffix", [".py", ".h", ".cpp", ".cu", ".js", ".css", ".html"])
def test_files_stay_small(suffix: str) -> None:
    long = {str(path.relative_to(ROOT)): n for path in _sources(suffix) if (n := _lines(path)) > MAX_LINES}
    assert long == {}


def test_torch_stays_where_networks_are_trained() -> None:
    package = ROOT / "python" / "ionmorphnet"
    users = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import|from) torch\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users <= {"training", "tumor", "torch_scorer.py", "torch_fused.py"}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
