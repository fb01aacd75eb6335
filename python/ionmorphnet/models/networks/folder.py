"""Model folders: the content of config.json, and atomic writing."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NotRequired, TypedDict

from safetensors.torch import save
from torch import Tensor

from ionmorphnet.base.errors import FileError

BUNDLED_LIMIT = 16_000_000
_KNOWN = {"config.json", "model.onnx", "model.safetensors", "model.int8.xml", "model.int8.bin"}


class InputConfig(TypedDict):
    """The image input of a network: its name, number of channels and side in pixels."""

    name: str
    channels: int
    size: int


class ScoreConfig(TypedDict):
    """How the ranking score is computed: from the structure output, or from class probabilities."""

    kind: str
    weights: NotRequired[dict[str, float]]
    classes: NotRequired[list[str]]


class Bf16Config(TypedDict):
    """Comparison of bfloat16 with float32 on some images."""

    images: int
    spearman_of_score: float | None
    same_class: float
    max_output_difference: float
    max_score_difference: float


class MetricsConfig(TypedDict, total=False):
    """Checks of the exported network, and figures on validation images."""

    onnx_against_torch_max_logit_difference: float
    onnx_against_torch_allowed: float
    torch_float32_rounding: float
    bf16_against_f32: Bf16Config | str
    simulated: dict[str, object]
    validation: dict[str, object]
    evaluation: dict[str, object]


class Int8Config(TypedDict):
    """Agreement of the 8-bit network with float32 on simulated images that did not calibrate it."""

    images: int
    calibration_images: int
    spearman_of_score: float
    same_class: float
    max_score_difference: float
    nncf: str


class ModelConfig(TypedDict):
    """Content of config.json of an ion-image classifier."""

    format: int
    name: str
    architecture: str
    preprocessing: str
    input: InputConfig
    statistics: list[str]
    statistics_hidden: NotRequired[int]
    sample_statistics: NotRequired[bool]
    outputs: list[str]
    classes: list[str]
    score: ScoreConfig
    threshold: float
    licence: str
    threshold_choice: NotRequired[str]
    calibration: NotRequired[dict[str, object] | str]
    fusion: NotRequired[dict[str, object]]
    provenance: NotRequired[dict[str, object]]
    metrics: NotRequired[MetricsConfig]
    card: NotRequired[dict[str, object]]
    int8: NotRequired[Int8Config]
    safetensors: NotRequired[dict[str, object]]


@contextmanager
def new_model_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` if the block succeeds.

    Args:
        folder: Folder to write, created with its parents. An existing model folder is replaced; anything else is an
            error.

    Yields:
        An empty folder next to ``folder``.

    Raises:
        FileError: ``folder`` holds something other than a model, or cannot be written.
    """
    check_replaceable(folder)
    temporary = folder.parent / f".tmp-{secrets.token_hex(8)}"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            old = folder.parent / f".tmp-{secrets.token_hex(8)}"
            os.replace(folder, old)
            os.replace(temporary, folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, folder)
    except FileError:  # also an OSError, but with a better message
        raise
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Check early that :func:`new_model_folder` can write to ``folder``.

    Raises:
        FileError: ``folder`` is a file, or holds something other than a model.
    """
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file; choose a folder")
    if folder.is_dir() and (others := sorted({p.name for p in folder.iterdir()} - _KNOWN)):
        raise FileError(f"{folder}: holds {others[0]}, so it is not a model folder; choose another folder")


def write_config(folder: Path, config: Mapping[str, object]) -> None:
    """Write config.json."""
    (folder / "config.json").write_text(json.dumps(config, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_safetensors(folder: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write model.safetensors, float32."""
    tensors = {name: value.detach().float().contiguous() for name, value in state.items()}
    # Not save_file, which ignores the umask and makes files that only their owner can read.
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt", **metadata}))


def check_size(folder: Path) -> None:
    """Check the size limit of bundled models.

    Raises:
        FileError: The folder is larger than ``BUNDLED_LIMIT``.
    """
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > BUNDLED_LIMIT:
        raise FileError(
            f"{folder}: {size / 1e6:.1f} MB exceed the limit of bundled models, {BUNDLED_LIMIT / 1e6:.0f} MB"
        )
