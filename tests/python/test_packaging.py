"""What the package declares about itself: one version, the Pythons it supports, the addresses it names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from scikit_build_core import build as backend

import ionmorphnet as imn
from conftest import Done

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> metadata.PackageMetadata:
    """The metadata that the build backend writes into a wheel of this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        name = backend.prepare_metadata_for_build_wheel(str(folder))
    return metadata.PathDistribution(folder / name).metadata


def test_one_version(declared: metadata.PackageMetadata, cli: Callable[..., Done]) -> None:
    cmake = re.search(r"^project\(ionmorphnet VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert cmake is not None
    version = cmake.group(1)
    assert declared["Version"] == version
    assert imn.__version__ == version  # compiled into the extension
    assert version in cli("--version").stdout.split()
    assert {found.version for found in metadata.distributions(name="ionmorphnet")} <= {version}
    # Written nowhere else.
    assert "version" not in PYPROJECT["project"]


def test_the_changelog_starts_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == imn.__version__


def test_one_openvino() -> None:
    required = [*PYPROJECT["build-system"]["requires"], *PYPROJECT["project"]["dependencies"]]
    required += (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in required if line.startswith("openvino")]
    assert len(pins) == 3
    assert set(pins) == {pins[0]}


def test_wheels_are_built_for_the_declared_pythons(declared: metadata.PackageMetadata) -> None:
    classifiers = declared.get_all("Classifier") or []
    pythons = [found[1] for text in classifiers if (found := re.search(r":: Python :: (3\.\d+)$", text))]
    assert pythons[0] == declared["Requires-Python"].removeprefix(">=")
    built = PYPROJECT["tool"]["cibuildwheel"]["build"]
    assert [f"cp{python.replace('.', '')}-manylinux_x86_64" for python in pythons] == built


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_workflow_calls_targets_of_the_makefile() -> None:
    called = [name for line in re.findall(r"run: make (.+)", read(".github/workflows/ci.yml")) for name in line.split()]
    assert called == ["lint", "test", "windows", "sanitize", "sdist", "wheels"]
    assert set(called) <= set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_the_hooks_run_what_make_lint_runs() -> None:
    recipe = read("Makefile").partition("\nlint: ")[2].partition("\n\n")[0]
    linted = [line.removeprefix("\t$(bin)/") for line in recipe.splitlines()[1:]]
    hooks = re.findall(r"entry: \.venv/bin/(.+)", read(".pre-commit-config.yaml"))
    assert len(linted) == len(hooks)
    for command, hook in zip(linted, hooks, strict=True):
        assert command.startswith(hook.removesuffix(" --force-exclude"))


def test_make_help_lists_every_target() -> None:
    makefile = read("Makefile")
    described = {word for line in re.findall(r"^# make (.+?)  ", makefile, re.MULTILINE) for word in line.split()}
    targets = makefile.partition("\n.PHONY: ")[2].partition("\n")[0].split()
    assert set(targets) == {word for word in described if "=" not in word}
