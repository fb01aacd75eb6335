"""Engine plug-ins, called as the library calls them: outputs of the bundled network, and what cannot be used."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ionmorphnet.models.model import load_model
from library_build import library_build

openvino = pytest.importorskip("openvino")

ROOT = Path(__file__).resolve().parents[2]
FILE, UNAVAILABLE = 2, 3
SCORE = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
)


class Engine(ctypes.Structure):
    """imn_engine of ionmorphnet.h."""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        *((name, ctypes.c_int32) for name in ("memory", "dtype", "batch", "channels")),
        *((name, ctypes.c_int32) for name in ("n_statistics", "n_outputs", "device")),
        ("user", ctypes.c_void_p),
        ("score", SCORE),
        ("destroy", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        *((name, ctypes.c_int32) for name in ("height", "width", "parallel")),
        ("reserved", ctypes.c_uint32),
        ("name", ctypes.c_char * 32),
        ("precision", ctypes.c_char * 16),
    ]


class Request(ctypes.Structure):
    """imn_engine_request."""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
        ("network_path", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("library_path", ctypes.c_char_p),
        *((name, ctypes.c_int32) for name in ("channels", "height", "width", "n_statistics", "n_outputs", "batch")),
        ("user", ctypes.c_void_p),
        ("log", ctypes.c_void_p),
    ]


def engine_folder(name: str) -> Path:
    """Folder of the engine's own library."""
    if name == "openvino":
        return Path(openvino.__file__).parent / "libs"
    return Path(pytest.importorskip("onnxruntime").__file__).parent / "capi"


def open_engine(name: str, network: Path, library: Path | None, **wanted: Any) -> tuple[int, str, Engine]:
    """Status, message and engine of a plug-in."""
    plugin = ctypes.CDLL(str(library_build() / f"imn_engine_{name}.so"))
    assert plugin.imn_engine_abi() == 1
    request = Request(ctypes.sizeof(Request), threads=2, network_path=str(network).encode())
    request.precision = wanted.pop("precision", "f32").encode()
    request.library_path = None if library is None else str(library).encode()
    for field, value in {**shape_of_bundled(), **wanted}.items():
        setattr(request, field, value)
    engine = Engine(ctypes.sizeof(Engine))
    message = ctypes.create_string_buffer(1000)
    status = plugin.imn_engine_open(ctypes.byref(request), ctypes.byref(engine), message, ctypes.c_uint64(len(message)))
    return status, message.value.decode(), engine


def bundled() -> Path:
    """The network of the default model."""
    return load_model().folder / "model.onnx"


def shape_of_bundled() -> dict[str, int]:
    """Sizes of its tensors."""
    model = openvino.Core().read_model(bundled())
    image = model.input("image").partial_shape
    sizes = {"channels": image[1], "height": image[2], "width": image[3]}
    sizes["n_statistics"] = model.input("statistics").partial_shape[1]
    sizes["n_outputs"] = model.output(0).partial_shape[1]
    return {name: int(value.get_length()) for name, value in sizes.items()}


@pytest.fixture(params=["openvino", "onnxruntime"])
def engine_name(request: pytest.FixtureRequest) -> str:
    library_build()
    engine_folder(request.param)
    return str(request.param)


def test_outputs_are_those_of_the_network(engine_name: str, rng: np.random.Generator) -> None:
    # In a thread, as the library scores: kernels leave a thread with register state that does not fit beside a signal
    # handler on the small stack which faulthandler gives the main thread.
    with ThreadPoolExecutor(1) as worker:
        worker.submit(_check_outputs, engine_name, rng).result()


def _check_outputs(engine_name: str, rng: np.random.Generator) -> None:
    shape = shape_of_bundled()
    status, message, engine = open_engine(engine_name, bundled(), engine_folder(engine_name))
    assert (status, message) == (0, "")
    assert (engine.name, engine.precision, engine.parallel) == (engine_name.encode(), b"f32", 2)
    n = engine.batch
    images = rng.random((n, shape["channels"], shape["height"], shape["width"]), np.float32)
    statistics = rng.random((n, shape["n_statistics"]), np.float32)
    core = openvino.Core()
    reference = core.compile_model(core.read_model(bundled()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = reference({"image": images, "statistics": statistics})[0]
    for some in range(1, n + 1):
        outputs = np.full((n, shape["n_outputs"]), 7.0, np.float32)
        assert _score(engine, images, statistics, outputs, some) == 0
        np.testing.assert_allclose(outputs[:some], expected[:some], atol=5e-6)
        assert (outputs[some:] == 7.0).all()
    engine.destroy(engine.user)
    # Whoever else uses the engine's library in this process goes on, and so does the plug-in itself.
    again = openvino.Core()
    other = again.compile_model(again.read_model(bundled()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_array_equal(other({"image": images, "statistics": statistics})[0], expected)
    status, _, second = open_engine(engine_name, bundled(), engine_folder(engine_name))
    assert status == 0
    assert _score(second, images, statistics, outputs, n) == 0
    np.testing.assert_allclose(outputs, expected, atol=5e-6)
    second.destroy(second.user)


def _score(
    engine: Engine,
    images: npt.NDArray[np.float32],
    statistics: npt.NDArray[np.float32],
    outputs: npt.NDArray[np.float32],
    n: int,
) -> int:
    return int(engine.score(engine.user, images.ctypes.data, statistics.ctypes.data, outputs.ctypes.data, n, None))


def test_networks_that_cannot_be_used_are_named(engine_name: str, tmp_path: Path) -> None:
    folder = engine_folder(engine_name)
    status, message, _ = open_engine(engine_name, bundled(), folder, n_outputs=99)
    assert status == FILE
    assert message.startswith(f"{bundled()}: ")
    assert "sizes or types" in message
    status, message, _ = open_engine(engine_name, bundled(), folder, n_statistics=0)
    assert status == FILE
    assert "2 inputs" in message
    missing = tmp_path / "none.onnx"
    status, message, _ = open_engine(engine_name, missing, folder)
    assert status == FILE
    assert message.startswith(f"{missing}: ")


def test_missing_libraries_and_precisions_are_said(engine_name: str, tmp_path: Path) -> None:
    status, message, _ = open_engine(engine_name, bundled(), tmp_path)
    assert status == UNAVAILABLE
    assert f"was not found in {tmp_path}" in message
    (tmp_path / "libopenvino_c.so.1").write_text("no library")
    (tmp_path / "libonnxruntime.so.1").write_text("no library")
    status, message, _ = open_engine(engine_name, bundled(), tmp_path)
    assert status == UNAVAILABLE
    assert "cannot be loaded" in message
    status, message, _ = open_engine(engine_name, bundled(), engine_folder(engine_name), precision="fp16")
    assert status == UNAVAILABLE
    assert "fp16" in message


def test_an_older_librarys_smaller_structure_is_not_overrun(engine_name: str) -> None:
    plugin = ctypes.CDLL(str(library_build() / f"imn_engine_{engine_name}.so"))
    request = Request(ctypes.sizeof(Request), network_path=str(bundled()).encode(), precision=b"f32")
    request.library_path = str(engine_folder(engine_name)).encode()
    for field, value in shape_of_bundled().items():
        setattr(request, field, value)
    room = (ctypes.c_ubyte * ctypes.sizeof(Engine))(*([0xAB] * ctypes.sizeof(Engine)))
    engine = Engine.from_buffer(room)
    engine.struct_size = Engine.name.offset
    message = ctypes.create_string_buffer(100)
    assert plugin.imn_engine_open(ctypes.byref(request), ctypes.byref(engine), message, ctypes.c_uint64(100)) == 0
    assert bytes(room)[Engine.name.offset :] == bytes([0xAB]) * (ctypes.sizeof(Engine) - Engine.name.offset)
    engine.destroy(engine.user)


def test_the_layout_is_that_of_the_header() -> None:
    header = (ROOT / "csrc/capi/include/ionmorphnet.h").read_text()
    assert (ctypes.sizeof(Engine), ctypes.sizeof(Request)) == (120, 72)
    for structure in (Engine, Request):
        for name, *_ in structure._fields_:
            assert name in header
