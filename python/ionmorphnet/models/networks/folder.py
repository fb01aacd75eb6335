"""Writing model folders: all of one or nothing."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from ionmorphnet.base.errors import FileError

BUNDLED_LIMIT = 16_000_000
_KNOWN = {"config.json", "model.onnx", "model.safetensors"}


@contextmanager
def new_model_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes ``folder`` when the block succeeds.

    Args:
        folder: Made with its parents; an older model folder there is replaced, anything else is left alone.

    Yields:
        An empty folder beside it.

    Raises:
        FileError: There is something else at ``folder``, or it cannot be written.
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
    except FileError:  # an OSError too, and says more
        raise
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Refuse early what :func:`new_model_folder` would not replace.

    Raises:
        FileError: A file, or a folder with other things than a model in it.
    """
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file, a folder is needed")
    if folder.is_dir() and (others := sorted({p.name for p in folder.iterdir()} - _KNOWN)):
        raise FileError(f"{folder}: holds {others[0]}, so it is no model folder, and is not replaced")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json."""
    (folder / "config.json").write_text(json.dumps(config, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_safetensors(folder: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write model.safetensors, float32."""
    tensors = {name: value.detach().float().contiguous() for name, value in state.items()}
    # Not save_file: its files are readable by their owner alone, whatever the umask says.
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt", **metadata}))


def check_size(folder: Path) -> None:
    """The limit of folders that come with the package.

    Raises:
        FileError: It is larger than ``BUNDLED_LIMIT``.
    """
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > BUNDLED_LIMIT:
        raise FileError(f"{folder}: {size / 1e6:.1f} MB, a bundled model may have {BUNDLED_LIMIT / 1e6:.0f} MB")
