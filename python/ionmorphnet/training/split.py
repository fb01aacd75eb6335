"""Training, validation and test parts: whole datasets, never single images.

Images of one section resemble each other; a model judged on images of a section it saw is judged too well.
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
        train: To learn from.
        val: To stop early and to choose by.
        test: To judge once, at the end.
        warnings: What the user should know about this split.
    """

    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, list[str]]:
        """The format of a split file."""
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
    """Divide datasets; what is not listed is drawn.

    Where lists are given, exactly those datasets are held out. Otherwise the datasets are put in an order that depends
    on the seed and each id alone, so that a dataset that joins later moves few others, and the first ones are held out.

    Args:
        ids: The datasets there are.
        val: Datasets for validation; None draws ``val_share`` of all, at least one if there are two.
        test: Datasets for the test; None draws ``test_share``, at least one if the share is positive and there are
            three.
        val_share: Part for validation, 0 to below 1; 0 = none.
        test_share: Part for the test; both together are below 1.
        seed: Seed of the order.

    Returns:
        The split; its warnings are logged too.

    Raises:
        ArgumentError: Unknown ids, an id in both lists, nothing left to train on, or shares out of range.
    """
    known = sorted(set(ids))
    if not (0.0 <= val_share < 1.0 and 0.0 <= test_share < 1.0 and val_share + test_share < 1.0):
        raise ArgumentError(
            f"val_share and test_share must be 0 or more, together below 1; got {val_share}, {test_share}"
        )
    if not known:
        raise ArgumentError("there are no datasets to split")
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
    """The published validation and test datasets, as far as they are there; all others are for training.

    Raises:
        ArgumentError: Nothing is left to train on.
    """
    known = sorted(set(ids))
    val, test = (sorted(set(part) & set(known)) for part in (PUBLISHED_VALIDATION, PUBLISHED_TEST))
    missing = len(PUBLISHED_VALIDATION) + len(PUBLISHED_TEST) - len(val) - len(test)
    notes = [f"{missing} of the 10 published validation and test datasets are not here"] if missing else []
    return _made(sorted(set(known) - set(val) - set(test)), val, test, known, notes)


def read_split(path: PathLike, ids: Iterable[str]) -> Split:
    """Read a split file: JSON ``{"train": [ids], "val": [ids], "test": [ids]}``; ``val`` and ``test`` may be missing.

    Datasets that the file does not name are not used, with a warning.

    Args:
        path: The file.
        ids: The datasets there are.

    Raises:
        FileError: Missing or of another form; a dataset is in two parts or unknown.
    """
    path, known = Path(path), sorted(set(ids))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except json.JSONDecodeError as error:
        raise FileError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from None
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
        notes = [f"{path}: {len(unnamed)} datasets are in no part and stay unused: {_some(unnamed)}"] if unnamed else []
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
                raise ArgumentError(f"the dataset '{name}' is in '{seen[name]}' and in '{part}'")
            seen[name] = part


def _made(
    train: Iterable[str], val: Iterable[str], test: Iterable[str], known: list[str], notes: Iterable[str] = ()
) -> Split:
    warnings = list(notes)
    if not train:
        raise ArgumentError("no dataset is left for training")
    if len(known) == 1:
        warnings.append(
            f"'{known[0]}' is the only dataset: nothing can be held out, and no figure of its images tells how the "
            "model does on other sections"
        )
    elif not val:
        warnings.append("no dataset is held out for validation")
    for line in warnings:
        logger.warning("%s", line)
    return Split(tuple(sorted(train)), tuple(sorted(val)), tuple(sorted(test)), tuple(warnings))
