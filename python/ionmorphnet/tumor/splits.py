"""Division of a cohort into folds by patient or section, with checks against leakage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.tumor.cohort import class_counts
from ionmorphnet.tumor.cubes import Cube

PROTOCOLS = ("leave-one-out", "k-fold")
BY = ("patient", "section")


@dataclass(frozen=True)
class Fold:
    """One division of the sections, given by their positions.

    Attributes:
        name: Name in files and tables.
        train: Training sections, without those of ``inner``.
        inner: Validation sections for early stopping; may be empty.
        test: Test sections.
    """

    name: str
    train: tuple[int, ...]
    inner: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def outer(self) -> tuple[int, ...]:
        """All sections except the test sections; methods without early stopping train on these."""
        return tuple(sorted((*self.train, *self.inner)))


def make_folds(
    cubes: Sequence[Cube],
    classes: Sequence[str],
    *,
    protocol: str = "leave-one-out",
    by: str = "patient",
    k: int = 5,
    inner: bool = True,
    seed: int = 0,
) -> list[Fold]:
    """Divides a cohort into folds.

    Args:
        cubes: The sections; ``group`` is the patient.
        classes: Class names for error messages.
        protocol: ``leave-one-out`` (every patient or section is a fold) or ``k-fold``.
        by: ``patient`` or ``section``. By section, training may include other sections of a test patient, so the
            result holds for new sections of known patients.
        k: Number of folds of ``k-fold``.
        inner: Whether one more patient (or section) is held out of each training set for early stopping.
        seed: Determines which groups share a fold and which group is held out.

    Raises:
        ArgumentError: There are too few sections or groups, or a training set lacks a class.
    """
    if protocol not in PROTOCOLS or by not in BY:
        raise ArgumentError(f"protocol must be one of {', '.join(PROTOCOLS)} and by one of {', '.join(BY)}")
    groups = [cube.group if by == "patient" else cube.name for cube in cubes]
    names = list(dict.fromkeys(groups))
    if len(cubes) < 2:
        raise ArgumentError(
            "the cohort has only one section, so none is left for testing; add sections, or cut it into spatial blocks"
        )
    if len(names) < 2:
        raise ArgumentError(
            f"all sections belong to one {by} ({names[0]}), so none is left for testing; split by section instead"
        )
    rng = np.random.default_rng([seed, 5])
    shuffled = [names[i] for i in rng.permutation(len(names))]
    if protocol == "k-fold":
        if not 2 <= k <= len(names):
            raise ArgumentError(f"k must be from 2 to {len(names)}, the number of {by}s, not {k}")
        tests = [tuple(shuffled[i::k]) for i in range(k)]
    else:
        tests = [(name,) for name in names]
    folds = []
    for i, test in enumerate(tests):
        rest = [name for name in shuffled if name not in test]
        name = test[0] if len(test) == 1 else f"fold{i + 1}"
        folds.append(_fold(cubes, classes, groups, name, test, rest, inner, i))
    return folds


def read_folds(path: Path, cubes: Sequence[Cube], classes: Sequence[str], *, inner: bool = True) -> list[Fold]:
    """Reads folds from a JSON file: ``[{"train": [names], "test": [names]}]`` with names of sections.

    Args:
        path: The file.
        cubes: The sections; ``group`` is the patient.
        classes: Class names for error messages.
        inner: Whether one patient is held out of each training set for early stopping.

    Raises:
        FileError: The file is not such a list, names an unknown section, or repeats a section.
        ArgumentError: Training and test share a patient or pixel, or a training set lacks a class.
    """
    found = read_json(path)
    if isinstance(found, dict):
        found = found.get("folds")
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise FileError(f'{path}: not a list of folds such as [{{"train": [names], "test": [names]}}]')
    names = {cube.name: i for i, cube in enumerate(cubes)}
    folds: list[Fold] = []
    tested: set[int] = set()
    for i, each in enumerate(found):
        parts = []
        for part in ("train", "test"):
            listed = each.get(part)
            if not isinstance(listed, list) or not listed or not all(isinstance(name, str) for name in listed):
                raise FileError(f"{path}: fold {i + 1}: '{part}' must be a list of section names")
            unknown = [name for name in listed if name not in names]
            if unknown:
                raise FileError(f"{path}: fold {i + 1}: unknown section '{unknown[0]}'")
            twice = [name for name in listed if listed.count(name) > 1]
            if twice:
                raise FileError(f"{path}: fold {i + 1}: '{part}' lists '{twice[0]}' twice")
            parts.append(tuple(sorted(names[name] for name in listed)))
        outer, test = parts
        again = sorted(set(test) & tested)
        if again:
            # Its pixels would count twice in all figures.
            raise FileError(f"{path}: fold {i + 1}: '{cubes[again[0]].name}' is already tested in an earlier fold")
        tested.update(test)
        refuse_leak(cubes, outer, test, f"{path}: fold {i + 1}")
        groups = [cube.group for cube in cubes]
        rest = list(dict.fromkeys(groups[j] for j in outer))
        chosen = held_out(cubes, groups, outer, rest, len(classes), i, f"{path}: fold {i + 1}") if inner else ()
        folds.append(Fold(f"fold{i + 1}", tuple(j for j in outer if j not in chosen), chosen, test))
        _require_classes(cubes, classes, folds[-1])
    return folds


def refuse_leak(cubes: Sequence[Cube], train: Sequence[int], test: Sequence[int], where: str) -> None:
    """Refuses a division whose training and test sections overlap.

    Raises:
        ArgumentError: Training and test share a section, a patient or a measured pixel of a file.
    """
    for i in test:
        for j in train:
            a, b = cubes[i], cubes[j]
            if i == j:
                raise ArgumentError(f"{where}: section '{a.name}' is in both training and test, which would leak")
            if a.group == b.group:
                raise ArgumentError(
                    f"{where}: sections '{b.name}' (training) and '{a.name}' (test) belong to the same patient "
                    f"'{a.group}', which would leak"
                )
    refuse_shared_pixels(cubes, test, train, where)


def refuse_shared_pixels(cubes: Sequence[Cube], one: Sequence[int], other: Sequence[int], where: str) -> None:
    """Refuses two sets of sections that share a pixel of a file or of its copy.

    Raises:
        ArgumentError: The sets share a pixel.
    """
    for a in (cubes[i] for i in one):
        for b in (cubes[j] for j in other):
            shared = a.measured & b.measured if a.measured.shape == b.measured.shape else np.zeros(1, bool)
            if shared.any() and (a.source == b.source or _copied(a, b, shared)):
                files = a.source if a.source == b.source else f"{a.source}, of which {b.source} is a copy"
                raise ArgumentError(f"{where}: '{b.name}' and '{a.name}' share pixels of {files}, which would leak")


def _copied(a: Cube, b: Cube, shared: npt.NDArray[np.bool_]) -> bool:
    """Whether one file is a copy of the other. Some programs reuse a UUID, so the values are compared as well."""
    if not a.identity or a.identity != b.identity:
        return False
    rows = np.flatnonzero(shared.any(axis=1))
    return all(np.array_equal(a.values[row][shared[row]], b.values[row][shared[row]]) for row in rows)


def _fold(
    cubes: Sequence[Cube],
    classes: Sequence[str],
    groups: list[str],
    name: str,
    test: tuple[str, ...],
    rest: list[str],
    inner: bool,
    turn: int,
) -> Fold:
    tested = tuple(i for i, group in enumerate(groups) if group in test)
    outer = tuple(i for i, group in enumerate(groups) if group not in test)
    refuse_shared_pixels(cubes, tested, outer, f"fold {name}")
    chosen = held_out(cubes, groups, outer, rest, len(classes), turn, f"fold {name}") if inner else ()
    fold = Fold(name, tuple(i for i in outer if i not in chosen), chosen, tested)
    _require_classes(cubes, classes, fold)
    return fold


def held_out(
    cubes: Sequence[Cube],
    groups: Sequence[str],
    outer: Sequence[int],
    rest: Sequence[str],
    n_classes: int,
    turn: int,
    where: str,
) -> tuple[int, ...]:
    """Chooses the sections for early stopping: one group with all classes that leaves all classes to the others.

    Args:
        cubes: The sections.
        groups: Patient (or section) of each.
        outer: Positions of the sections available for training.
        rest: Groups of those sections, in the order in which they are tried.
        n_classes: Number of classes.
        turn: Position of the group that is tried first.
        where: Prefix of error messages.

    Returns:
        Positions; empty if there are fewer than three groups or none of them can be spared.

    Raises:
        ArgumentError: The chosen group shares pixels with the others.
    """
    if len(rest) < 3:
        return ()
    for step in range(len(rest)):
        group = rest[(turn + step) % len(rest)]
        chosen = tuple(i for i in outer if groups[i] == group)
        others = tuple(i for i in outer if groups[i] != group)
        if all((_counts(cubes, part, n_classes) > 0).all() for part in (chosen, others)):
            refuse_shared_pixels(cubes, chosen, others, f"{where}, early stopping")
            return chosen
    return ()


def _counts(cubes: Sequence[Cube], sections: Sequence[int], n_classes: int) -> npt.NDArray[np.int64]:
    total = np.zeros(n_classes, np.int64)
    for i in sections:
        total += class_counts(cubes[i].labels, n_classes)
    return total


def _require_classes(cubes: Sequence[Cube], classes: Sequence[str], fold: Fold) -> None:
    counts = _counts(cubes, fold.train, len(classes))
    missing = [name for name, n in zip(classes, counts, strict=True) if n == 0]
    if missing:
        raise ArgumentError(
            f"fold {fold.name}: the training sections ({', '.join(cubes[i].name for i in fold.train)}) have no "
            f"labelled pixel of class '{missing[0]}'"
        )
    if not _counts(cubes, fold.test, len(classes)).any():
        raise ArgumentError(f"fold {fold.name}: the test sections have no labelled pixel")
