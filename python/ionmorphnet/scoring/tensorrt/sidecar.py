"""Sidecar: the JSON file next to each engine, which decides whether the engine can be used.

TensorRT itself does not explain a failure: for a foreign file, another version or a missing GPU it returns ``None`` and
prints lines to stderr.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ionmorphnet import _core
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import FileError, IonMorphNetError, UnavailableError
from ionmorphnet.base.files import atomic_path, read_json
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.tensorrt.flavour import Flavour, find_flavour
from ionmorphnet.scoring.tensorrt.gpu import Driver, Gpu, find_gpu
from ionmorphnet.scoring.tensorrt.key import EngineKey
from ionmorphnet.scoring.tensorrt.targets import target_name

FORMAT = 1


@dataclass(frozen=True)
class EngineFile:
    """An engine file as described by its sidecar.

    Attributes:
        path: The engine file.
        key: Everything the engine depends on.
        model: Name of the model.
        sha256: Hash of the engine file.
        n_bytes: Size of the engine file.
        made_by: Version of ionmorphnet that built it.
    """

    path: Path
    key: EngineKey
    model: str
    sha256: str
    n_bytes: int
    made_by: str

    @property
    def sidecar(self) -> Path:
        """Path of the sidecar."""
        return sidecar_path(self.path)

    def to_dict(self) -> dict[str, object]:
        """Content of the sidecar."""
        return {
            "format": FORMAT,
            "made_by": f"ionmorphnet {self.made_by}",
            "model": self.model,
            "engine": {"sha256": self.sha256, "bytes": self.n_bytes},
            "key": self.key.digest,
            "parts": self.key.to_dict(),
            "tensors": self.key.tensors(),
        }


def sidecar_path(engine: Path) -> Path:
    """``x.engine.json`` for ``x.engine``."""
    return engine.with_name(engine.name + ".json")


def write_engine(path: Path, content: bytes, key: EngineKey, model: str) -> EngineFile:
    """Writes an engine and its sidecar, each under a temporary name first.

    Raises:
        FileError: One of them cannot be written.
    """
    done = EngineFile(path, key, model, hashlib.sha256(content).hexdigest(), len(content), _core.__version__)
    # The inner context exits first, so the engine is renamed before the sidecar that describes it.
    with atomic_path(sidecar_path(path)) as temporary_sidecar, atomic_path(path) as temporary:
        temporary.write_bytes(content)
        temporary_sidecar.write_text(json.dumps(done.to_dict(), indent=2) + "\n", encoding="utf-8")
    return done


def read_sidecar(path: Path) -> EngineFile:
    """Reads the sidecar of an engine, but not the engine itself.

    Args:
        path: The engine file.

    Raises:
        FileError: There is no sidecar, or it has another format.
    """
    sidecar = sidecar_path(path)
    if not path.is_file():
        raise FileError(f"{path}: no such engine")
    if not sidecar.is_file():
        raise FileError(f"{path}: {sidecar.name} is missing; only engines from `ionmorphnet engine build` can be used")
    values = read_json(sidecar)
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise FileError(f"{sidecar}: not the sidecar of an engine")
    if values["format"] != FORMAT:
        raise FileError(
            f"{sidecar}: has format {values['format']}, this version reads format {FORMAT}; build the engine again"
        )
    try:
        key = EngineKey.from_dict(values["parts"])
        engine, made_by = values["engine"], str(values["made_by"]).removeprefix("ionmorphnet ")
        found = EngineFile(path, key, str(values["model"]), str(engine["sha256"]), int(engine["bytes"]), made_by)
        same = values["key"] == key.digest and values["tensors"] == key.tensors()
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{sidecar}: not the sidecar of an engine ({error})") from None
    if not same:
        raise FileError(f"{sidecar}: was edited (its key does not match its parts); build the engine again")
    return found


def read_engine(path: Path) -> tuple[EngineFile, bytes]:
    """Reads an engine and checks it against its sidecar.

    Returns:
        The description and the content of the engine file.

    Raises:
        FileError: As :func:`read_sidecar`; also if the engine is damaged or belongs to another sidecar.
    """
    found = read_sidecar(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    if len(content) != found.n_bytes:
        raise FileError(
            f"{path}: has {len(content)} bytes, not {found.n_bytes}; the engine is damaged or not the one described"
        )
    if hashlib.sha256(content).hexdigest() != found.sha256:
        raise FileError(f"{path}: SHA-256 differs from the sidecar; the engine is damaged or not the one described")
    return found, content


def check_runnable(engine: EngineFile, flavour: Flavour, gpu: Gpu) -> None:
    """Checks that this machine can run an engine.

    Raises:
        UnavailableError: It cannot; one line with the difference and the remedy.
    """
    key = engine.key
    again = "build it on this machine with `ionmorphnet engine build`"
    if key.flavour != flavour.name:
        raise UnavailableError(f"{engine.path}: built by {key.flavour}, not {flavour.name}; {again}")
    if key.version != flavour.version:
        raise UnavailableError(
            f"{engine.path}: built by {key.flavour} {key.version}, installed is {flavour.version}; {again}"
        )
    if target_name(gpu.capability) not in key.targets:
        raise UnavailableError(f"{engine.path}: built for {', '.join(key.targets)}, this machine has {gpu}; {again}")
    if key.gpu and key.gpu != gpu.name:
        raise UnavailableError(f"{engine.path}: built on {key.gpu}, this machine has {gpu}; {again}")


def check_fits(engine: EngineFile, wanted: EngineKey, model: Model) -> None:
    """Checks that an engine belongs to a model and has the requested precision and shapes.

    Raises:
        FileError: It does not; one line with the difference.
    """
    key = engine.key
    if key.onnx_sha256 != wanted.onnx_sha256:
        raise FileError(f"{engine.path}: built from another network ('{engine.model}'), not from {model.onnx_path}")
    if key.graph_revision != wanted.graph_revision:
        raise FileError(f"{engine.path}: built by an older version of ionmorphnet ({engine.made_by})")
    if key.precision != wanted.precision:
        raise FileError(f"{engine.path}: computes in {key.precision}, not {wanted.precision}")
    if key.tensors() != wanted.tensors():
        raise FileError(f"{engine.path}: has shapes {_shapes(key)}, not {_shapes(wanted)}")


def _shapes(key: EngineKey) -> str:
    return ", ".join(f"{each['role']} {'x'.join(map(str, each['shape']))}" for each in key.tensors())


def why_not_runnable(engine: EngineFile, device: DeviceName | Device = "cuda") -> str | None:
    """Reason why this machine cannot run an engine, in one line; None if the sidecar shows none.

    Imports the TensorRT module for its version, but does not load the engine.
    """
    try:
        gpu = find_gpu(device, Driver())
        check_runnable(engine, find_flavour(engine.key.flavour), gpu)
    except IonMorphNetError as error:
        return str(error).removeprefix(f"{engine.path}: ")
    return None
