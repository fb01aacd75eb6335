"""The layout is the architecture: who may include whom, and how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ["core", "io", "images", "preprocess", "score", "models", "pipeline", "pick"]
LEAVES = ["capi", "engines", "bindings", "testing"]
MAX_LINES = 500
PACKAGE = ROOT / "python" / "ionmorphnet"


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
    """Folders that may not be included. Nothing includes the leaves, which stand on all stages."""
    if folder in LEAVES:
        return included & set(LEAVES[LEAVES.index(folder) + 1 :])
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


def test_engine_plugins_know_the_interface_only() -> None:
    for path in (ROOT / "csrc" / "engines").iterdir():
        text = path.read_text(encoding="utf-8")
        assert _included_folders(path) <= {"core", "capi", "engines"}, path
        assert set(re.findall(r'#include "(capi/[^"]+)"', text)) <= {"capi/include/ionmorphnet.h"}, path
        assert not re.search(r"#include [<\"](openvino|onnxruntime)", text), path


def test_the_include_check_sees_a_violation(tmp_path: Path) -> None:
    header = tmp_path / "x.h"
    header.write_text('#include "core/error.h"\n#include "score/scorer.h"\n')
    assert _violations("io", _included_folders(header)) == {"score"}
    header.write_text('#include "core/error.h"\n#include "testing/host_block.h"\n')
    assert _violations("core", _included_folders(header)) == {"testing"}
    assert _violations("bindings", _included_folders(header)) == {"testing"}
    assert _violations("testing", _included_folders(header)) == set()


def test_core_knows_no_python() -> None:
    for path in _sources(".h", ".cpp"):
        parts = path.relative_to(ROOT).parts
        if parts[0] == "csrc" and parts[1] not in LEAVES:
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


# The rooms of the Python package, lowest floor first: a room imports its own modules and those of rooms before it.
FLOORS = (
    "base",
    "io",
    "models",
    "reference",
    "report",
    "scoring",
    "picking",
    "cohort",
    "simulation",
    "labelled",
    "labelling",
    "evaluate",
    "engine",
    "training",
    "tumor",
    "cli",
)
# Where torch may be imported; everything else runs on the base install.
TORCH_ROOMS = ("models.networks", "scoring.torch", "training", "tumor")


def _imports(module: str, source: str, modules: set[str]) -> set[str]:
    """Modules of the package that a module imports anywhere, also within functions and for type checking only."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole.removeprefix("ionmorphnet.") in modules else str(node.module))
    inside = {name.removeprefix("ionmorphnet.") for name in found if name.startswith("ionmorphnet.")}
    return {name for name in inside if name in modules and name != module}


def _upward(module: str, imported: set[str]) -> set[str]:
    """The imports that leave the floor order."""
    floor = FLOORS.index(module.split(".")[0])
    return {name for name in imported if FLOORS.index(name.split(".")[0]) > floor}


def _package_imports() -> dict[str, set[str]]:
    """Imports of every module of the package but its two entry points, by dotted name."""
    files = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE
    }
    return {name: _imports(name, path.read_text(encoding="utf-8"), set(files)) for name, path in files.items()}


def test_rooms_import_only_downwards() -> None:
    imports = _package_imports()
    assert {name.split(".")[0] for name in imports} == set(FLOORS)
    assert len(imports) > 150
    assert {name: bad for name, found in imports.items() if (bad := _upward(name, found))} == {}


def test_contributing_lists_the_rooms_in_their_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## Floors of the Python package\n")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == FLOORS


def _circles(imports: dict[str, set[str]]) -> set[str]:
    """Modules that import themselves by way of others."""
    open_ = {name: set(found) for name, found in imports.items()}
    while leaves := {name for name, found in open_.items() if not found & open_.keys()}:
        open_ = {name: found for name, found in open_.items() if name not in leaves}
    return set(open_)


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert _circles(_package_imports()) == set()


def test_the_import_checks_see_faults() -> None:
    modules = {"io.dataset", "scoring.scorer", "picking.section"}
    source = "def f():\n    from ionmorphnet.picking import section\n    import ionmorphnet.io.dataset"
    imported = _imports("scoring.scorer", source, modules)
    assert imported == {"picking.section", "io.dataset"}
    assert _upward("scoring.scorer", imported) == {"picking.section"}
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}


# What the command line may import: the public face of the package, and helpers that are no product logic.
PUBLIC_MODULES = ("engine", "evaluate", "evaluate.plots", "reference", "simulation", "tumor", "tumor.plots")
HELPER_ROOMS = ("base", "io", "cli")
# Types of the keywords of public functions.
TYPES_FOR_THE_CLI = ("training.options",)


def _beyond_the_public_api(source: str) -> set[str]:
    """Imports of a command that no user of the library could write, but for types."""
    found = set()
    tree = ast.parse(source)
    guarded = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in guarded for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in skipped:
            continue
        if not str(node.module).startswith("ionmorphnet"):
            continue
        module = str(node.module).removeprefix("ionmorphnet").removeprefix(".")
        if module.split(".")[0] in HELPER_ROOMS or module in TYPES_FOR_THE_CLI:
            continue
        public = module in ("", *PUBLIC_MODULES)
        found |= {
            f"{module}:{alias.name}"
            for alias in node.names
            if not public or (alias.name.startswith("_") and alias.name != "__version__")
        }
    if re.search(r"\b_core\b|\._native\b", source):
        found.add("the native core")
    return found


def test_the_command_uses_public_names() -> None:
    commands = {path.name: path.read_text(encoding="utf-8") for path in (PACKAGE / "cli").glob("*.py")}
    assert len(commands) > 12
    assert {name: bad for name, source in commands.items() if (bad := _beyond_the_public_api(source))} == {}
    wrong = "from ionmorphnet.picking.batch import _Batch\nfrom ionmorphnet import pick, _core\nx = ds._native"
    assert _beyond_the_public_api(wrong) == {"picking.batch:_Batch", ":_core", "the native core"}
    assert _beyond_the_public_api("if TYPE_CHECKING:\n    from ionmorphnet.tumor.channels import ChannelsLike") == set()


def _imports_torch(source: str) -> bool:
    return re.search(r"^\s*(import|from) (torch|triton|safetensors)\b", source, re.MULTILINE) is not None


def test_torch_stays_where_networks_are() -> None:
    users = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if _imports_torch(path.read_text(encoding="utf-8"))
    }
    assert {name for name in users if not name.startswith(TORCH_ROOMS)} == set()
    assert any(name.startswith("scoring.torch") for name in users)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
