"""Cache of built engines on disk."""

from __future__ import annotations

import logging
from pathlib import Path

from platformdirs import user_cache_path

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.scoring.tensorrt.key import EngineKey
from ionmorphnet.scoring.tensorrt.sidecar import EngineFile, read_engine, read_sidecar, sidecar_path, write_engine

logger = logging.getLogger(__name__)

SUFFIX = ".engine"


def cache_folder(cache_dir: PathLike | None = None) -> Path:
    """Folder of the engine cache, which may not exist yet.

    Args:
        cache_dir: The folder; None for ``ionmorphnet/engines`` in the user's cache folder.
    """
    return user_cache_path("ionmorphnet", appauthor=False) / "engines" if cache_dir is None else Path(cache_dir)


def engine_name(key: EngineKey, model: str) -> str:
    """File name that describes the engine and is unique for its key."""
    readable = "".join(c if c.isalnum() or c in "-_." else "-" for c in model)
    return f"{readable}-{key.precision}-b{key.batch}-{'-'.join(key.targets)}-{key.digest[:16]}{SUFFIX}"


def find_cached(key: EngineKey, model: str, cache_dir: PathLike | None = None) -> EngineFile | None:
    """Engine for a key; None if it is missing or damaged (the latter is logged)."""
    path = cache_folder(cache_dir) / engine_name(key, model)
    if not path.is_file() and not sidecar_path(path).is_file():
        return None
    try:
        found, _ = read_engine(path)
    except FileError as error:
        logger.warning("%s; building it again", error)
        return None
    return found if found.key == key else None


def store(content: bytes, key: EngineKey, model: str, cache_dir: PathLike | None = None) -> EngineFile:
    """Writes an engine to the cache.

    Raises:
        FileError: The folder or the engine cannot be written.
    """
    folder = cache_folder(cache_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be created ({error.strerror}); choose another cache folder") from None
    return write_engine(folder / engine_name(key, model), content, key, model)


def cached_engines(cache_dir: PathLike | None = None) -> list[EngineFile]:
    """Engines in the cache, sorted by name. Unreadable ones are skipped and logged."""
    found = []
    for path in sorted(cache_folder(cache_dir).glob(f"*{SUFFIX}")):
        try:
            found.append(read_sidecar(path))
        except FileError as error:
            logger.warning("%s", error)
    return found


def clear_cache(cache_dir: PathLike | None = None) -> list[Path]:
    """Removes all engines and sidecars from the cache folder, and nothing else.

    Returns:
        The removed engines.
    """
    removed = []
    for path in sorted(cache_folder(cache_dir).glob(f"*{SUFFIX}")):
        if path.is_file():
            path.unlink()
            removed.append(path)
    for path in cache_folder(cache_dir).glob(f"*{SUFFIX}.json"):
        path.unlink()
    return removed
