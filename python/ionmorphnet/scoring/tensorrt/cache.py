"""Engines on disk, in the folder that the platform has for caches."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from ionmorphnet.base.errors import FileError
from ionmorphnet.scoring.tensorrt.key import EngineKey
from ionmorphnet.scoring.tensorrt.sidecar import EngineFile, read_engine, read_sidecar, sidecar_path, write_engine

logger = logging.getLogger(__name__)

SUFFIX = ".engine"


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where engines are kept; need not exist.

    Args:
        cache_dir: None: ``ionmorphnet/engines`` in the user's cache folder.
    """
    if cache_dir is not None:
        return Path(cache_dir)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "ionmorphnet" / "engines"


def engine_name(key: EngineKey, model: str) -> str:
    """A file name that tells what it is, and differs for every key."""
    readable = "".join(c if c.isalnum() or c in "-_." else "-" for c in model)
    return f"{readable}-{key.precision}-b{key.batch}-{'-'.join(key.targets)}-{key.digest[:16]}{SUFFIX}"


def find_cached(key: EngineKey, model: str, cache_dir: str | os.PathLike[str] | None = None) -> EngineFile | None:
    """The engine of a key; None where there is none, or a damaged one (which is logged)."""
    path = cache_folder(cache_dir) / engine_name(key, model)
    if not path.is_file() and not sidecar_path(path).is_file():
        return None
    try:
        found, _ = read_engine(path)
    except FileError as error:
        logger.warning("%s: it is built anew", error)
        return None
    return found if found.key == key else None


def store(content: bytes, key: EngineKey, model: str, cache_dir: str | os.PathLike[str] | None = None) -> EngineFile:
    """Writes an engine into the cache.

    Raises:
        FileError: It cannot be written.
    """
    folder = cache_folder(cache_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made ({error.strerror}); give another cache folder") from None
    return write_engine(folder / engine_name(key, model), content, key, model)


def cached_engines(cache_dir: str | os.PathLike[str] | None = None) -> list[EngineFile]:
    """What is in the cache, by name; what cannot be read is left out and logged."""
    found = []
    for path in sorted(cache_folder(cache_dir).glob(f"*{SUFFIX}")):
        try:
            found.append(read_sidecar(path))
        except FileError as error:
            logger.warning("%s", error)
    return found


def clear_cache(cache_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """Removes every engine and sidecar of the cache folder, and nothing else.

    Returns:
        The engines that were removed.
    """
    removed = []
    for path in sorted(cache_folder(cache_dir).glob(f"*{SUFFIX}")):
        if path.is_file():
            path.unlink()
            removed.append(path)
    for path in cache_folder(cache_dir).glob(f"*{SUFFIX}.json"):
        path.unlink()
    return removed
