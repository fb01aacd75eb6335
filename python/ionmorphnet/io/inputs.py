"""The inputs of a pick: files, folders and patterns become files, and each file gets the names its result may have."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.base.paths import PathLike

_SUFFIX = ".imzml"
# What an export is called, and what marks its folder as the result of a pick.
_EXPORT, _RECORD = "peaks.imzml", "run.json"


@dataclass(frozen=True)
class Input:
    """One file of a call.

    Attributes:
        path: The file, as given.
        names: Names that the result may have, with ``/`` between folders: the stem, then the same with more and more
            parent folders in front.
        first: Which of them is the first to be tried: it has the folders below a folder that was given, and as many
            more as tell it from the names of the other files of the call.
        shown: What messages call the file: as much of its path as tells it from the other files of the call.
        problem: What is wrong with the input before it is opened.
    """

    path: Path
    names: tuple[str, ...]
    first: int
    shown: str
    problem: IonMorphNetError | None = None

    @property
    def name(self) -> str:
        """The name of the result, unless something else is in its place."""
        return self.names[self.first]

    def own_names(self) -> Iterator[str]:
        """Where an earlier result of the file may be."""
        yield from self.names
        yield from (f"{self.names[0]}-{k}" for k in range(2, 10))


def name_key(name: str) -> str:
    """Equal for names that some file system takes for one: upper and lower case, composed and decomposed letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def listed_inputs(files: Iterable[PathLike], name: str | None = None) -> list[Input]:
    """The files of a call, in the order given; those of a folder in natural order.

    Args:
        files: imzML files; folders, which are searched with what is below them; and patterns such as
            ``study/*/*.imzML``, for shells that do not expand them.
        name: The result's name; None: from the path.

    Raises:
        ArgumentError: ``name`` is not a relative path, or there are several files.
    """
    found: list[tuple[Path, int, IonMorphNetError | None]] = []
    for file in files:
        found += _files_of(Path(file))
    if name is not None:
        return [_named(found, name)]
    return _told_apart(found)


def _named(found: Sequence[tuple[Path, int, IonMorphNetError | None]], name: str) -> Input:
    if len(found) != 1:
        raise ArgumentError(f"a name is for a single input, and there are {len(found)}")
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts or "\0" in name:
        raise ArgumentError(f"the name of a result must be a path below the output folder, not {name!r}")
    path, _, problem = found[0]
    return Input(path, ("/".join(parts),), 0, path.name, problem)


def _files_of(path: Path) -> list[tuple[Path, int, IonMorphNetError | None]]:
    """Files of one argument, the number of folders that belongs to the name of each, and what is wrong with it."""
    if path.is_dir():
        files = sorted(_below(path), key=lambda file: natural_order(file.relative_to(path).as_posix()))
        if not files:
            return [(path, 0, FileError(f"{path}: there is no imzML file in this folder or below it"))]
        return [(file, len(file.relative_to(path).parts) - 1, None) for file in files]
    if glob.has_magic(str(path)) and not os.path.lexists(path):
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
        matches = [match for match in matches if match.suffix.lower() == _SUFFIX and not match.is_dir()]
        if not matches:
            return [(path, 0, FileError(f"{path}: no imzML file matches this pattern"))]
        return [(match, 0, None) for match in sorted(matches, key=lambda match: natural_order(str(match)))]
    return [(path, 0, None)]


def _below(folder: Path) -> Iterator[Path]:
    """imzML files in a folder and below: no hidden ones (macOS puts some next to the files), no exports of results."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            result = name.lower() == _EXPORT and _RECORD in files
            if name.lower().endswith(_SUFFIX) and not name.startswith(".") and not result:
                yield Path(place) / name


def natural_order(text: str) -> list[tuple[bool, int, str]]:
    """section2 before section10."""
    parts = re.split("([0-9]+)", text)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _told_apart(found: Sequence[tuple[Path, int, IonMorphNetError | None]]) -> list[Input]:
    # abspath, not resolve(): a link is named as the user names it.
    absolute = [Path(os.path.abspath(path)) for path, _, _ in found]
    depth: dict[Path, int] = {}
    for full, (_, below, _) in zip(absolute, found, strict=True):
        depth[full] = max(below, depth.get(full, 0))
    twins = defaultdict(list)
    for full in sorted(depth):
        twins[name_key(_name(full, len(full.parts)))].append(full)
    number = {full: k for group in twins.values() for k, full in enumerate(group, 1)}

    def numbered(full: Path, folders: int) -> str:
        return _name(full, folders) + (f"-{number[full]}" if number[full] > 1 else "")

    lengths = dict(depth)
    while True:
        groups = defaultdict(list)
        for full, folders in lengths.items():
            groups[name_key(numbered(full, folders))].append(full)
        equal = [full for group in groups.values() if len(group) > 1 for full in group]
        longer = [full for full in equal if lengths[full] < len(full.parts) - 2]
        if not longer:
            break
        for full in longer:
            lengths[full] += 1
    inputs = []
    for full, (path, _, problem) in zip(absolute, found, strict=True):
        names = tuple(numbered(full, k) for k in range(max(len(full.parts) - 1, 1)))
        shown = "/".join(full.parts[-1 - lengths[full] :])
        inputs.append(Input(path, names, lengths[full], shown, problem))
    return inputs


def _name(full: Path, folders: int) -> str:
    """The stem of a path with some of its parent folders."""
    above = [part for part in full.parts[:-1] if part != full.anchor]
    return "/".join(_portable(part) for part in (*above[len(above) - min(folders, len(above)) :], full.stem))


def _portable(part: str) -> str:
    """A folder name that can be made everywhere: no spaces or dots at its end, not only dots."""
    return part.rstrip(" .") or "section"
