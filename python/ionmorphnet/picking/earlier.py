"""The result that a folder holds already: of which input it is, and whether it is the one that was asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.paths import same_file
from ionmorphnet.io.file_state import plain_uuid, same_content
from ionmorphnet.picking.outputs import OPTIONAL_FILES, RECORD
from ionmorphnet.picking.run_record import InputRecord

REMEDY = "choose another folder or pass --overwrite (Python: overwrite=True)"
# Options of opening a file that choose some of its spectra.
_SELECTION = ("ms_level", "polarity", "run")


@dataclass(frozen=True)
class Earlier:
    """The result in a folder.

    Attributes:
        folder: The folder.
        owner: Its input, for messages.
        same: Whether that is the input asked about.
        replaced: Whether it is another section whose file had the path of the input asked about.
        request: What it was made from and how; None if nobody can tell.
        files: Its files.
        skipped: Formats that could not hold it.
    """

    folder: Path
    owner: str
    same: bool
    replaced: bool
    request: Mapping[str, Any] | None
    files: tuple[str, ...]
    skipped: tuple[str, ...]

    @property
    def refusal(self) -> FileError:
        """The error that refuses to replace it."""
        return FileError(f"{self.folder}: holds the result of {self.owner}; {REMEDY}")

    def changes(self, request: Mapping[str, Any] | None, files: tuple[str, ...]) -> list[str]:
        """What keeps the result from being the one asked for; empty if nothing does. Names of files alone are missing.

        Args:
            request: What the result is to be made from and how, as :func:`request_of` gives it; None: no result is the
                same as another one.
            files: The files asked for.
        """
        if request is None or self.request is None:
            return ["its record does not tell everything that it depends on"]
        names = sorted({*request, *self.request})
        changed = [name for name in names if request.get(name) != self.request.get(name)]
        impossible = {file for kind in self.skipped for file in OPTIONAL_FILES.get(kind, ())}
        missing = [file for file in files if not (self.folder / file).is_file() and file not in impossible]
        return [*(f"{name} changed" for name in changed), *missing]


def earlier_result(folder: Path, record: InputRecord) -> Earlier | None:
    """The result in a folder, compared with an input; None if there is none.

    Two inputs are the same if they declare the same UUID, as far as both do, and lie at the same path or have the same
    content: a file can move, and converters that give each file the same UUID do no harm. Another plane, polarity, MS
    level or run is another input.

    Raises:
        FileError: ``run.json`` does not tell its input.
    """
    if not (folder / RECORD).is_file():
        return None
    try:
        values: dict[str, Any] = read_json(folder / RECORD)
        theirs: dict[str, Any] = values["input"]
        path, uuid = str(theirs["path"]), theirs["uuid"]
        part = _part(theirs)
        files, skipped = tuple(map(str, values.get("files", ()))), tuple(values.get("skipped", ()))
        request = values.get("request")
        state = theirs.get("files") or {}
    except (FileError, AttributeError, KeyError, TypeError):
        raise FileError(f"{folder}: holds a {RECORD} that does not tell the input of its result; {REMEDY}") from None
    same_path = same_file(path, record.path)
    ours, others = plain_uuid(record.uuid), plain_uuid(uuid)
    same_uuid = not (ours and others) or ours == others
    same = same_uuid and (same_path or same_content(state, record.files))
    ours_part = _part(dataclasses.asdict(record))
    same_part = all(
        value == ours_part[name] or (name == "z" and None in (value, ours_part[name])) for name, value in part.items()
    )
    shown = _chosen_part(theirs)
    replaced = same_path and not same_uuid
    earlier = f" as it was with UUID {others}" if replaced else ""
    request = request if isinstance(request, dict) else None
    return Earlier(folder, f"{path}{shown}{earlier}", same and same_part, replaced, request, files, skipped)


def _part(record: Mapping[str, Any]) -> dict[str, Any]:
    """Which spectra of a file a record is about, chosen or found."""
    run = (record.get("opened_with") or {}).get("run")
    return {"z": record["z"], **{name: record.get(name) for name in ("region", "ms_level", "polarity")}, "run": run}


def _chosen_part(record: Mapping[str, Any]) -> str:
    """The same for messages, without what the whole file has."""
    options = record.get("opened_with") or {}
    parts = {"z": record["z"], "region": record.get("region"), **{name: options.get(name) for name in _SELECTION}}
    return "".join(f" {name}={value}" for name, value in parts.items() if value is not None)


def refuse_other_result(folder: Path, record: InputRecord) -> None:
    """Refuses a folder that holds the result of another input.

    Raises:
        FileError: ``run.json`` is that of another input, or does not tell its input.
    """
    earlier = earlier_result(folder, record)
    if earlier is not None and not earlier.same:
        raise earlier.refusal


def request_of(record: InputRecord, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a result is made from and how, as JSON holds it: two equal requests have equal results.

    Args:
        record: The input.
        settings: Everything else that the result depends on, by name. Arrays and the like are kept as hashes.

    Returns:
        The request; None if the state of the files is unknown.
    """
    if not record.files:
        return None
    section = {"uuid": plain_uuid(record.uuid), "z": record.z, "region": record.region, **record.files}
    request = {
        "section": section,
        "opened_with": record.opened_with,
        **{name: comparable(value) for name, value in settings.items()},
    }
    found: dict[str, Any] = json.loads(json.dumps(plain(request)))
    return found


def comparable(value: object) -> object:
    """A value as plain text and numbers; what is large as its hash."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return "sha256 " + hashlib.sha256(repr(_parts(value)).encode()).hexdigest()


def _parts(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype == object:  # texts; the bytes are addresses
        return value.shape, [_parts(each) for each in value.ravel().tolist()]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, _parts(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if isinstance(value, (list, tuple)):
        return [_parts(each) for each in value]
    if isinstance(value, Mapping):
        return [(str(key), _parts(value[key])) for key in sorted(value, key=str)]
    return repr(value)
