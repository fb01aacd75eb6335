"""What importing the package and starting the command load: names are looked up on first use.

How long that takes is measured by `python -m benchmarks startup`; here only what is loaded counts.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import ionmorphnet as imn

HEAVY = ("numpy", "pandas", "openvino", "torch", "onnx", "PIL", "matplotlib", "jinja2", "anndata", "scipy", "sklearn")


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after some code."""
    program = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_importing_loads_nothing_heavy() -> None:
    found = loaded_by("import ionmorphnet")
    assert "ionmorphnet" in found
    assert found.isdisjoint({*HEAVY, "rich", "click"})


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_no_command(argument: str) -> None:
    code = f"from ionmorphnet.cli.entry import main\ntry:\n    main(['{argument}'])\nexcept SystemExit:\n    pass"
    found = loaded_by(code)
    assert "click" in found
    assert found.isdisjoint(HEAVY)


def test_picking_needs_no_training() -> None:
    """Not even where the packages are missing."""
    missing = ("torch", "onnx", "matplotlib", "jinja2", "PIL")
    hide = f"import sys\nfor name in {missing}:\n    sys.modules[name] = None\n"
    found = loaded_by(hide + "import ionmorphnet as imn\nimn.pick, imn.pick_files, imn.make_scorer, imn.open_run")
    assert "pandas" in found


def test_dir_lists_the_public_names_only() -> None:
    names = dir(imn)
    assert {"open", "pick", "pick_files", "PeakList", "validate", "read_info", "ImzMLWriter", "train"} <= set(names)
    assert not [name for name in names if name.startswith("_") and name != "__version__"]
    assert {"Any", "TYPE_CHECKING", "annotations", "importlib", "lazy_loader"}.isdisjoint(names)


def test_every_public_name_loads() -> None:
    for name in dir(imn):
        assert getattr(imn, name) is not None, name


def test_a_star_import_leaves_the_built_in_open_alone() -> None:
    code = "from ionmorphnet import *\nassert open.__module__ in ('io', '_io')\nassert pick.__name__ == 'pick'"
    assert "ionmorphnet" in loaded_by(code)
