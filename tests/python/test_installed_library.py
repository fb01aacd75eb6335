"""The library from an installed prefix: the example projects find it, build against it, and pick as Python does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from library_build import library_build

openvino = pytest.importorskip("openvino")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "embedding"


def program(name: str) -> str:
    """A build tool: of the environment, or of the system."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: object, **options: str) -> str:
    env = {**os.environ, **options}
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed library, with OpenVINO's libraries where its plug-in looks for them."""
    built = library_build()
    folder = tmp_path_factory.mktemp("prefix")
    run(program("cmake"), "--install", built, "--prefix", folder, "--component", "library")
    (folder / "lib/ionmorphnet/engines/openvino").symlink_to(Path(openvino.__file__).parent / "libs")
    return folder


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("section") / "section.imzML"
    imn.simulate(path, shape=(24, 22), n_channels=60, seed=5)
    return path


def built_example(name: str, prefix: Path, folder: Path) -> Path:
    cmake = program("cmake")
    generator = ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={program('ninja')}")
    run(cmake, "-S", EXAMPLES / name, "-B", folder, *generator, f"-DCMAKE_PREFIX_PATH={prefix}")
    run(cmake, "--build", folder)
    return folder


def test_the_prefix_holds_what_is_shipped(prefix: Path) -> None:
    for name in (
        "include/ionmorphnet.h",
        "include/ionmorphnet.hpp",
        "lib/libionmorphnet.so",
        "lib/libionmorphnet.a",
        "lib/pkgconfig/ionmorphnet.pc",
        "lib/cmake/ionmorphnet/ionmorphnetConfig.cmake",
        "lib/ionmorphnet/engines/imn_engine_openvino.so",
        "lib/ionmorphnet/engines/imn_engine_onnxruntime.so",
        "share/ionmorphnet/licenses/LICENSE",
    ):
        assert (prefix / name).is_file(), name
    assert list(prefix.glob("share/ionmorphnet/models/*/model.onnx"))
    assert not list(prefix.rglob("_core*"))


@pytest.mark.parametrize("engine", ["moran", "openvino"])
def test_the_c_example_picks_as_python_does(engine: str, prefix: Path, section: Path, tmp_path: Path) -> None:
    pick = built_example("c", prefix, tmp_path / "build") / "pick"
    lines = run(pick, section, engine, 12).split()
    expected = imn.pick(section, scorer=engine, precision="f32" if engine == "openvino" else "auto", top=12)
    found = np.array([[float(value) for value in line.split(",")] for line in lines])
    frame = expected.to_frame()
    np.testing.assert_array_equal(found[:, 0], frame["mz"])
    np.testing.assert_array_equal(found[:, 1], frame["score"])


def test_the_other_examples_run(prefix: Path, section: Path, tmp_path: Path) -> None:
    assert run(built_example("vendor_reader", prefix, tmp_path / "vendor") / "vendor_reader").strip()
    assert run(built_example("cpp", prefix, tmp_path / "cpp") / "own_engine", section).strip()


def test_the_csharp_example_picks_as_python_does(prefix: Path, section: Path, tmp_path: Path) -> None:
    mono, source = program("mono"), EXAMPLES / "dotnet" / "Pick.cs"
    run(program("mcs"), "-warnaserror", f"-out:{tmp_path / 'Pick.exe'}", source)
    found = run(mono, tmp_path / "Pick.exe", section, "moran", 12, LD_LIBRARY_PATH=str(prefix / "lib")).split()
    frame = imn.pick(section, scorer="moran", top=12).to_frame()
    assert [tuple(map(float, line.split(","))) for line in found] == list(zip(frame["mz"], frame["score"], strict=True))
    options = {"LD_LIBRARY_PATH": str(prefix / "lib"), "LC_ALL": "C.UTF-8"}
    missing = subprocess.run([mono, tmp_path / "Pick.exe", tmp_path / "nö.imzML"], capture_output=True, env=options)
    assert (missing.returncode, missing.stdout) == (1, b"")
    assert f"Pick: {tmp_path}/nö.imzML: no such file" in missing.stderr.decode()


def test_the_interface_costs_little(prefix: Path, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Ranking, record, copies and calls are at most 2 % of a network pick: the best of five, on a busy machine, too."""
    source, library = ROOT / "tests" / "capi" / "behaviour.cpp", prefix / "lib" / "libionmorphnet.so"
    flags = ("-std=c++17", "-O1", "-pthread", "-I", prefix / "include", f"-Wl,-rpath,{library.parent}")
    run(program("c++"), *flags, source, library, "-o", tmp_path / "behaviour")
    section = shared_data("bladder79/bladder79_processed.imzML")
    share = float(run(tmp_path / "behaviour", "cost", section, "openvino").split()[0])
    assert 0.0 <= share < 0.02


def test_pkg_config_knows_it(prefix: Path, tmp_path: Path) -> None:
    found = run(
        program("pkg-config"), "--cflags", "--libs", "ionmorphnet", PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig")
    )
    source = tmp_path / "version.c"
    source.write_text(
        "#include <ionmorphnet.h>\n#include <stdio.h>\nint main(void) { puts(imn_version()); return 0; }\n"
    )
    run(program("cc"), source, "-o", tmp_path / "version", *found.split())
    assert run(tmp_path / "version", LD_LIBRARY_PATH=str(prefix / "lib")).strip() == imn.__version__
