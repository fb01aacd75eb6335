"""Splits into training, validation and test sets by whole datasets, never by single images.

Images of one section resemble each other, so figures on images of a section used in training are too optimistic.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike

logger = logging.getLogger("ionmorphnet")

# METASPACE ids of the published split (arXiv 2604.19369).
PUBLISHED_VALIDATION = (
    "2017-09-25_19h48m56s",
    "2023-07-04_10h26m22s",
    "2025-05-20_08h21m56s",
    "2025-06-18_03h24m09s",
    "2025-09-24_18h51m29s",
)
PUBLISHED_TEST = (
    "2016-10-01_12h21m40s",
    "2016-10-01_12h27m29s",
    "2016-10-25_14h30m16s",
    "2017-03-10_19h59m17s",
    "2017-03-17_17h20m49s",
)
_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Dataset ids of each part, in ascending order.

    Attributes:
        train: Datasets to train on.
        val: Datasets for early stopping and model selection.
        test: Datasets for the final evaluation.
        warnings: Limitations of this split.
    """

    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, list[str]]:
        """Return the content of a split file."""
        return {"train": list(self.train), "val": list(self.val), "test": list(self.test)}


def split_datasets(
    ids: Iterable[str],
    *,
    val: Collection[str] | None = None,
    test: Collection[str] | None = None,
    val_share: float = 0.1,
    test_share: float = 0.0,
    seed: int = 0,
) -> Split:
    """Split datasets by lists or at random.

    Listed datasets are held out exactly. Otherwise the first datasets are held out in an order that depends only on the
    seed and each id, so adding a dataset later moves few others.

    Args:
        ids: All datasets.
        val: Datasets for validation. None draws ``val_share`` of all: at least one of two or more datasets.
        test: Datasets for testing. None draws ``test_share`` of all: at least one of three or more datasets if the
            share is positive.
        val_share: Fraction for validation, 0 to below 1.
        test_share: Fraction for testing; both fractions together are below 1.
        seed: Seed of the order.

    Returns:
        The split. Its warnings are also logged.

    Raises:
        ArgumentError: An id is unknown or in both lists, no dataset is left for training, or a share is out of range.
    """
    known = sorted(set(ids))
    if not (0.0 <= val_share < 1.0 and 0.0 <= test_share < 1.0 and val_share + test_share < 1.0):
        raise ArgumentError(
            f"val_share and test_share must be at least 0 and together below 1, got {val_share} and {test_share}"
        )
    if not known:
        raise ArgumentError("no datasets to split")
    listed = {"val": sorted(set(val or ())), "test": sorted(set(test or ()))}
    _check_parts(listed, known, "the list of datasets for")
    free = sorted((set(known) - set(listed["val"]) - set(listed["test"])), key=lambda name: _place(name, seed))
    if test is None:
        n = _number(test_share, len(known), 3)
        listed["test"], free = free[:n], free[n:]
    if val is None:
        n = min(_number(val_share, len(known), 2), max(0, len(free) - 1))
        listed["val"], free = free[:n], free[n:]
    return _made(free, listed["val"], listed["test"], known)


def published_split(ids: Iterable[str]) -> Split:
    """Hold out the published validation and test datasets that are present; all others are for training.

    Raises:
        ArgumentError: No dataset is left for training.
    """
    known = sorted(set(ids))
    val, test = (sorted(set(part) & set(known)) for part in (PUBLISHED_VALIDATION, PUBLISHED_TEST))
    missing = len(PUBLISHED_VALIDATION) + len(PUBLISHED_TEST) - len(val) - len(test)
    notes = [f"{missing} of the 10 published validation and test datasets are missing"] if missing else []
    return _made(sorted(set(known) - set(val) - set(test)), val, test, known, notes)


def read_split(path: PathLike, ids: Iterable[str]) -> Split:
    """Read a split file: JSON ``{"train": [ids], "val": [ids], "test": [ids]}``; ``val`` and ``test`` are optional.

    Datasets that the file does not list are not used; a warning lists them.

    Args:
        path: Path of the file.
        ids: All datasets.

    Raises:
        FileError: The file is missing or malformed, or a dataset is unknown or in two parts.
    """
    path, known = Path(path), sorted(set(ids))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except json.JSONDecodeError as error:
        raise FileError(f"{path}: line {error.lineno}: invalid JSON ({error.msg})") from None
    if not isinstance(content, dict) or not content.get("train") or set(content) - set(_PARTS):
        raise FileError(f'{path}: must be {{"train": [...], "val": [...], "test": [...]}} with at least one in train')
    parts: dict[str, list[str]] = {}
    for name in _PARTS:
        part = content.get(name, [])
        if not isinstance(part, list) or not all(isinstance(each, str) for each in part):
            raise FileError(f"{path}: '{name}' must be a list of dataset ids")
        parts[name] = sorted(set(part))
    try:
        _check_parts(parts, known, "")
        unnamed = sorted(set(known) - {each for part in parts.values() for each in part})
        notes = [f"{path}: {len(unnamed)} datasets are in no part and not used: {_some(unnamed)}"] if unnamed else []
        return _made(parts["train"], parts["val"], parts["test"], known, notes)
    except ArgumentError as error:
        raise FileError(f"{path}: {error}") from None


def _place(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _number(share: float, n: int, least: int) -> int:
    return max(1, round(share * n)) if share > 0 and n >= least else 0


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _check_parts(parts: dict[str, list[str]], known: list[str], what: str) -> None:
    seen: dict[str, str] = {}
    for part, names in parts.items():
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise ArgumentError(
                f"{what} '{part}' names unknown datasets: {_some(unknown)}; known: {_some(known)}".strip()
            )
        for name in names:
            if name in seen:
                raise ArgumentError(f"dataset '{name}' is in both '{seen[name]}' and '{part}'")
            seen[name] = part


def _made(
    train: Iterable[str], val: Iterable[str], test: Iterable[str], known: list[str], notes: Iterable[str] = ()
) -> Split:
    warnings = list(notes)
    if not train:
        raise ArgumentError("no dataset is left for training")
    if len(known) == 1:
        warnings.append(
            f"'{known[0]}' is the only dataset: nothing can be held out, so no figure shows how the model performs on "
            "other sections"
        )
    elif not val:
        warnings.append("no dataset is held out for validation")
    for line in warnings:
        logger.warning("%s", line)
    return Split(tuple(sorted(train)), tuple(sorted(val)), tuple(sorted(test)), tuple(warnings))
