"""Writing values as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.paths import PathLike


def plain(value: object) -> Any:
    """Converts a value for JSON: numpy numbers and arrays become Python's, non-finite numbers None, paths text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def write_json(path: PathLike, document: Mapping[str, object]) -> None:
    """Writes a document as JSON after conversion with :func:`plain`.

    Args:
        path: The file; its folder must exist.
        document: The document.

    Raises:
        FileError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(plain(document), indent=2, allow_nan=False) + "\n", encoding="utf-8")
