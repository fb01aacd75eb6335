"""The JSON file beside every engine. It decides whether the engine may be used, before TensorRT sees it.

TensorRT itself gives no reason that a user could act on: a foreign file, another version and a missing GPU all end in
``None`` and lines on stderr.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ionmorphnet import _core
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
    """An engine and what its sidecar says.

    Attributes:
        path: The engine.
        key: All that it depends on.
        model: Name of the model.
        sha256: Hash of the engine.
        n_bytes: Its size.
        made_by: Version of this package.
    """

    path: Path
    key: EngineKey
    model: str
    sha256: str
    n_bytes: int
    made_by: str

    @property
    def sidecar(self) -> Path:
        """The JSON file."""
        return sidecar_path(self.path)

    def to_dict(self) -> dict[str, Any]:
        """What the sidecar holds."""
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
    """``x.engine.json`` beside ``x.engine``."""
    return engine.with_name(engine.name + ".json")


def write_engine(path: Path, content: bytes, key: EngineKey, model: str) -> EngineFile:
    """Writes an engine and its sidecar, each under a temporary name first.

    Raises:
        FileError: They cannot be written.
    """
    done = EngineFile(path, key, model, hashlib.sha256(content).hexdigest(), len(content), str(_core.__version__))
    # Renamed from the inside out: the engine first, so that no sidecar ever speaks of an engine that is not there yet.
    with atomic_path(sidecar_path(path)) as temporary_sidecar, atomic_path(path) as temporary:
        temporary.write_bytes(content)
        temporary_sidecar.write_text(json.dumps(done.to_dict(), indent=2) + "\n", encoding="utf-8")
    return done


def read_sidecar(path: Path) -> EngineFile:
    """What the sidecar of an engine says; the engine itself is not read.

    Args:
        path: The engine.

    Raises:
        FileError: There is no sidecar, or it is not one of this version.
    """
    sidecar = sidecar_path(path)
    if not path.is_file():
        raise FileError(f"{path}: no such engine")
    if not sidecar.is_file():
        raise FileError(f"{path}: no {sidecar.name} beside it; only engines of `ionmorphnet engine build` can be used")
    values = read_json(sidecar)
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise FileError(f"{sidecar}: not the sidecar of an engine")
    if values["format"] != FORMAT:
        raise FileError(f"{sidecar}: format {values['format']} is not the one that this version reads ({FORMAT})")
    try:
        key = EngineKey.from_dict(values["parts"])
        engine, made_by = values["engine"], str(values["made_by"]).removeprefix("ionmorphnet ")
        found = EngineFile(path, key, str(values["model"]), str(engine["sha256"]), int(engine["bytes"]), made_by)
        same = values["key"] == key.digest and values["tensors"] == key.tensors()
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{sidecar}: not the sidecar of an engine ({error})") from None
    if not same:
        raise FileError(f"{sidecar}: changed after it was written (its key does not follow from its parts)")
    return found


def read_engine(path: Path) -> tuple[EngineFile, bytes]:
    """An engine whose file is the one that its sidecar describes.

    Raises:
        FileError: As :func:`read_sidecar`; or the engine is damaged, or another one.
    """
    found = read_sidecar(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    if len(content) != found.n_bytes:
        raise FileError(
            f"{path}: has {len(content)} bytes, its sidecar says {found.n_bytes}: damaged, or another engine"
        )
    if hashlib.sha256(content).hexdigest() != found.sha256:
        raise FileError(f"{path}: damaged, or another engine (its SHA-256 is not that of its sidecar)")
    return found, content


def check_runnable(engine: EngineFile, flavour: Flavour, gpu: Gpu) -> None:
    """Refuses an engine that this machine cannot run.

    Raises:
        UnavailableError: One line with what differs and what to do.
    """
    key = engine.key
    again = "build it here with `ionmorphnet engine build`"
    if key.flavour != flavour.name:
        raise UnavailableError(f"{engine.path}: an engine of {key.flavour}, not of {flavour.name}; {again}")
    if key.version != flavour.version:
        raise UnavailableError(
            f"{engine.path}: built by {key.flavour} {key.version}, installed is {flavour.version}; {again}"
        )
    if target_name(gpu.capability) not in key.targets:
        raise UnavailableError(f"{engine.path}: built for {', '.join(key.targets)}, this machine has {gpu}; {again}")
    if key.gpu and key.gpu != gpu.name:
        raise UnavailableError(f"{engine.path}: built on {key.gpu}, this machine has {gpu}; {again}")


def check_fits(engine: EngineFile, wanted: EngineKey, model: Model) -> None:
    """Refuses an engine that is not of this model and these shapes.

    Raises:
        FileError: One line with what differs.
    """
    key = engine.key
    if key.onnx_sha256 != wanted.onnx_sha256:
        raise FileError(f"{engine.path}: built from another network than {model.onnx_path} ('{engine.model}')")
    if key.graph_revision != wanted.graph_revision:
        raise FileError(f"{engine.path}: built by an older version of ionmorphnet ({engine.made_by})")
    if key.precision != wanted.precision:
        raise FileError(f"{engine.path}: computes in {key.precision}, wanted is {wanted.precision}")
    if key.tensors() != wanted.tensors():
        raise FileError(f"{engine.path}: takes {_shapes(key)}, wanted is {_shapes(wanted)}")


def _shapes(key: EngineKey) -> str:
    return ", ".join(f"{each['role']} {'x'.join(map(str, each['shape']))}" for each in key.tensors())


def why_not_runnable(engine: EngineFile, device_index: int = 0) -> str | None:
    """Why this machine cannot run an engine, in one line; None where nothing speaks against it.

    The module of TensorRT is imported to learn its version; the engine is not shown to it.
    """
    try:
        gpu = find_gpu(device_index, Driver())
        check_runnable(engine, find_flavour(engine.key.flavour), gpu)
    except IonMorphNetError as error:
        return str(error).removeprefix(f"{engine.path}: ")
    return None
