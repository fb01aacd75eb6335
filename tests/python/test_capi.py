"""The C interface: wrong use, ways to read, threads, versions of callers, and picks equal to Python's."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.picking.run_record import RunRecord
from library_build import library_build

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tests" / "capi"
INCLUDE = ROOT / "csrc" / "capi" / "include"
MODELS = ROOT / "python" / "ionmorphnet" / "models" / "bundled"
EXAMPLES = ROOT / "examples" / "embedding"


@pytest.fixture(scope="module")
def library() -> Path:
    return library_build() / "libionmorphnet.so"


@pytest.fixture(scope="module")
def compiled(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Compiles a C or C++ source against the library, once."""
    folder = tmp_path_factory.mktemp("capi")

    def build(source: Path) -> Path:
        program = folder / source.stem
        if not program.exists():
            c = source.suffix == ".c"
            compiler = shutil.which("gcc" if c else "g++")
            if compiler is None:
                pytest.skip("no compiler")
            flags = ["-std=c99", "-pedantic"] if c else ["-std=c++17", "-pedantic"]
            flags += [
                "-Wall",
                "-Wextra",
                "-Wno-missing-field-initializers",
                "-Werror",
                "-O1",
                "-pthread",
                "-I",
                INCLUDE,
            ]
            link = [library, f"-Wl,-rpath,{library.parent}"]
            done = subprocess.run([compiler, *flags, source, *link, "-o", program], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        return program

    return build


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("section") / "section.imzML"
    imn.simulate(path, shape=(30, 34), n_channels=24, seed=3)
    return path


def run(program: Path, *arguments: object) -> str:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def rows(text: str) -> list[tuple[float, float]]:
    return [(float(mz), float(score)) for mz, score in (line.split(",") for line in text.splitlines())]


def picks(peaks: imn.PeakList) -> list[tuple[float, float]]:
    frame = peaks.to_frame()
    return list(zip(frame["mz"], frame["score"], strict=True))


def test_layout_of_structures_and_numbers(compiled: Callable[[Path], Path]) -> None:
    run(compiled(SOURCES / "abi.c"))


def test_every_field_and_number_of_the_header_is_held() -> None:
    header = re.sub(r"/\*.*?\*/", "", (INCLUDE / "ionmorphnet.h").read_text(), flags=re.DOTALL)
    held = (SOURCES / "abi.c").read_text()
    for name, body in re.findall(r"typedef struct (imn_\w+) \{(.*?)\n\} \1;", header, re.DOTALL):
        fields = re.findall(r"\* ?(\w+)\)\(|(\w+)(?:\[\d+\])?[;,]", body)
        for field in (first or second for first, second in fields if "IMN_CALL" not in (first, second)):
            if not re.search(rf"\b{field}\b\s*[,)]", body) or f"AT({name}, {field}," in held:
                assert f"AT({name}, {field}," in held, (name, field)
        assert f"ENDS({name}," in held, name
    for name, value in re.findall(r"#define (IMN_[A-Z0-9_]+) (\d+)u?\b", header):
        assert f"IS({name}, {value});" in held


def test_exported_symbols(library: Path) -> None:
    """A name that goes, or changes its meaning, needs another IMN_ABI."""
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    listed = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    assert (
        sorted(line.split()[-1].split("@")[0] for line in listed.splitlines())
        == (SOURCES / "exported.txt").read_text().split()
    )


def test_the_library_needs_no_python_and_no_engine(library: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("no readelf")
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    assert "libionmorphnet.so.1" in dynamic
    assert "NODELETE" in dynamic
    needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    assert not [name for name in needed if re.search("python|openvino|onnx|tbb|cuda", name)]


def test_every_function_that_can_fail_is_used_wrongly() -> None:
    header = (INCLUDE / "ionmorphnet.h").read_text()
    misuse = (SOURCES / "misuse.c").read_text()
    functions = re.findall(r"IMN_API imn_status IMN_CALL (imn_\w+)\(", header)
    assert len(functions) > 15
    assert [name for name in functions if f"EXPECT({name}(" not in misuse] == []


def test_wrong_use_is_an_error(compiled: Callable[[Path], Path], section: Path) -> None:
    assert run(compiled(SOURCES / "misuse.c"), section, MODELS).endswith("0 failures\n")


@pytest.mark.parametrize("case", ["readings", "reader", "versions", "fails"])
def test_behaviour(case: str, compiled: Callable[[Path], Path], section: Path) -> None:
    assert run(compiled(SOURCES / "behaviour.cpp"), case, section).endswith("ok\n")


@pytest.mark.parametrize("case", ["threads", "shared", "cancels", "failures", "released", "fork"])
def test_concurrency(case: str, compiled: Callable[[Path], Path], section: Path) -> None:
    assert run(compiled(SOURCES / "concurrency.cpp"), case, section, MODELS).endswith("ok\n")


@pytest.mark.parametrize(("engine", "folder"), [("openvino", "libs"), ("onnxruntime", "capi")])
def test_no_engine_hangs_in_a_child(
    engine: str, folder: str, compiled: Callable[[Path], Path], library: Path, section: Path
) -> None:
    native = Path(pytest.importorskip(engine).__file__).parent / folder
    argument = f"{library.parent}:{MODELS}:{engine}:{native}"
    said = run(compiled(SOURCES / "concurrency.cpp"), "fork_engine", section, argument)
    if engine == "openvino":
        assert "OpenVINO was started before this process was forked" in said
    else:
        assert said.startswith("picked\n")


def test_a_file_that_shrinks_is_an_error(compiled: Callable[[Path], Path], section: Path, tmp_path: Path) -> None:
    assert run(compiled(SOURCES / "behaviour.cpp"), "shrinks", section, tmp_path).endswith("ok\n")


def test_exceptions_of_callbacks_come_back(compiled: Callable[[Path], Path], section: Path) -> None:
    assert run(compiled(SOURCES / "behaviour.cpp"), "exceptions", section, MODELS).endswith("ok\n")


@pytest.mark.parametrize("case", ["opens", "picks"])
def test_nothing_grows(case: str, compiled: Callable[[Path], Path], section: Path) -> None:
    run(compiled(SOURCES / "behaviour.cpp"), case, section, {"opens": 300, "picks": 20}[case], MODELS)


@pytest.mark.long
@pytest.mark.parametrize(("case", "rounds"), [("opens", 10_000), ("picks", 1_000)])
def test_nothing_grows_over_many_rounds(
    case: str, rounds: int, compiled: Callable[[Path], Path], section: Path
) -> None:
    run(compiled(SOURCES / "behaviour.cpp"), case, section, rounds, MODELS)


def test_warnings_are_those_of_python(
    compiled: Callable[[Path], Path], section: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = run(compiled(SOURCES / "behaviour.cpp"), "logs", section).splitlines()[:-1]
    with pytest.warns(UserWarning, match="1 repeated values"):
        imn.pick(section, axis=[1.5, 1.5, 700.0], ppm=10.0, scorer="moran", top=2)
    assert lines[0] == "the m/z list contains 1 repeated values; each m/z is used once"
    assert lines[1:] == [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("scorer", ["moran", "blur", "chaos", "blur_sqrt", "reliability"])
def test_picks_are_those_of_python(scorer: str, compiled: Callable[[Path], Path], section: Path) -> None:
    program = compiled(EXAMPLES / "c" / "pick.c")
    assert rows(run(program, section, scorer, 12)) == picks(imn.pick(section, scorer=scorer, top=12))


@pytest.mark.parametrize("name", ["bladder79/bladder79_processed.imzML", "barley101/barley101_continuous.imzML"])
def test_picks_of_measured_sections(
    name: str, compiled: Callable[[Path], Path], shared_data: Callable[[str], Path]
) -> None:
    path = shared_data(name)
    expected = picks(imn.pick(path, scorer="moran", top=50))
    assert rows(run(compiled(EXAMPLES / "c" / "pick.c"), path, "moran", 50)) == expected


def test_picks_of_an_engine_are_those_of_a_callable(compiled: Callable[[Path], Path], section: Path) -> None:
    """The engine of the C++ example, written in numpy with the same operations in the same order."""

    def score(images: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        outputs = np.zeros((len(images), 7), np.float32)
        for i, image in enumerate(images[:, 0].reshape(len(images), -1).astype(np.float32)):
            steps = np.abs(image[1:] - image[:-1]).astype(np.float64)
            roughness = np.cumsum(steps)[-1] / (np.cumsum(image[1:].astype(np.float64))[-1] + 1e-6)
            outputs[i, 0], outputs[i, 6] = 1.0 - roughness, 4.0 * (0.5 - roughness)
        return outputs

    expected = picks(imn.pick(section, scorer=score, model=str(MODELS / "atto-sim-3"), top=20))
    program = compiled(EXAMPLES / "cpp" / "own_engine.cpp")
    assert rows(run(program, section, MODELS)) == expected


def test_vendor_reader_example(compiled: Callable[[Path], Path]) -> None:
    found = run(compiled(EXAMPLES / "vendor_reader" / "vendor_reader.c")).split()
    assert sorted(found) == ["500.0000", "525.0000"]


def test_ctypes_example(library: Path, section: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "ctypes" / "pick.py", library, section, "moran", "7"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout) == picks(imn.pick(section, scorer="moran", top=7))


class ContextOptions(ctypes.Structure):
    """imn_context_options."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("log_level", ctypes.c_int32),
        ("user", ctypes.c_void_p),
        ("log", ctypes.c_void_p),
        ("engine_dir", ctypes.c_char_p),
        ("model_dir", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    )


@pytest.fixture(scope="module")
def example() -> Any:
    """The module of the ctypes example."""
    spec = importlib.util.spec_from_file_location("ctypes_example", EXAMPLES / "ctypes" / "pick.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_network_picks_are_those_of_python(library: Path, section: Path, example: Any) -> None:
    openvino = pytest.importorskip("openvino")
    native = next(Path(openvino.__file__).parent.glob("libs/*openvino_c*"))
    caller = example.Library(str(library))
    folders = ContextOptions(
        ctypes.sizeof(ContextOptions), engine_dir=str(library.parent).encode(), model_dir=str(MODELS).encode()
    )
    context = caller.make("imn_context_new", ctypes.byref(folders))
    dataset = caller.make("imn_dataset_open", context, str(section).encode(), None)
    wanted = example.ScorerOptions(
        ctypes.sizeof(example.ScorerOptions),
        engine=b"openvino",
        precision=b"f32",
        engine_library=str(native).encode(),
    )
    scorer = caller.make("imn_scorer_new", context, ctypes.byref(wanted))
    peaks = caller.make("imn_pick", dataset, scorer, None, None)
    expected = imn.pick(section, scorer="openvino", precision="f32", device="cpu")
    frame = expected.all_scores
    candidates, picked = ctypes.c_int64(), ctypes.c_int64()
    caller.call("imn_peaks_count", peaks, ctypes.byref(candidates), ctypes.byref(picked))
    assert (candidates.value, picked.value) == (len(frame), len(expected))
    columns = {"mz": 0, "mz_lo": 1, "mz_hi": 2, "score": 3, "frequency": 4, "structure": 6, "spared": 9}
    columns |= {f"p_{name}": 16 + k for k, name in enumerate(CLASSES)}
    for name, number in columns.items():
        values = (ctypes.c_double * candidates.value)()
        caller.call("imn_peaks_column", peaks, ctypes.c_int32(number), values, candidates)
        np.testing.assert_array_equal(frame[name].to_numpy(np.float64), np.array(values), err_msg=name)


def test_the_first_pick_of_the_page_compiles(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no compiler")
    page = (ROOT / "docs" / "guide" / "embedding.md").read_text(encoding="utf-8")
    block = re.search(r"```c\n(.*?)```", page, re.DOTALL)
    assert block is not None
    source = tmp_path / "first.c"
    source.write_text(block[1])
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", INCLUDE]
    done = subprocess.run(["gcc", *flags, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_run_record_has_the_keys_of_python(library: Path, section: Path, example: Any) -> None:
    native = ctypes.CDLL(str(library))
    caller = example.Library(str(library))
    context = caller.make("imn_context_new", None)
    dataset = caller.make("imn_dataset_open", context, str(section).encode(), None)
    wanted = example.ScorerOptions(ctypes.sizeof(example.ScorerOptions), engine=b"moran")
    scorer = caller.make("imn_scorer_new", context, ctypes.byref(wanted))
    options = example.PickOptions(ctypes.sizeof(example.PickOptions), top=5)
    peaks = caller.make("imn_pick", dataset, scorer, None, ctypes.byref(options))
    length = ctypes.c_uint64()
    caller.call("imn_peaks_json", peaks, None, ctypes.c_uint64(0), ctypes.byref(length))
    text = ctypes.create_string_buffer(length.value)
    caller.call("imn_peaks_json", peaks, text, length, None)
    record = json.loads(text.value)
    expected = imn.pick(section, scorer="moran", top=5).run.to_dict()
    assert set(record) == set(expected) | {"not_checked"}
    assert len(record["not_checked"]) == 2
    RunRecord.from_dict(record)
    python = json.loads(json.dumps(expected, default=str))
    for key in ("scorer", "device", "precision", "score", "model", "axis", "counts", "cascade", "warnings", "sample"):
        assert record[key] == python[key], key
    assert record["input"] == python["input"]
    assert record["parameters"] == python["parameters"]
    assert record["host"] | {"cpus": 0} == python["host"] | {"cpus": 0}
    assert set(record["scoring_loop"]) == set(python["scoring_loop"])
    assert native.imn_abi() == 1
