"""Which folder each input's result goes to."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.file_lock import LockedError
from ionmorphnet.base.paths import same_file
from ionmorphnet.io.file_state import plain_uuid
from ionmorphnet.io.inputs import Input, name_key
from ionmorphnet.picking.earlier import Earlier, earlier_result
from ionmorphnet.picking.outputs import PreparedFolder, refuse_input_folder
from ionmorphnet.picking.parts import Part
from ionmorphnet.picking.run_record import InputRecord


@dataclass(frozen=True)
class Place:
    """The folder of a part.

    Attributes:
        part: The part of the file.
        folder: Its folder.
        record: The part as a run record has it, before the work.
        earlier: The result that the folder holds already; None if it holds none.
    """

    part: Part
    folder: Path
    record: InputRecord
    earlier: Earlier | None


class Places:
    """The result folders of one call.

    An input keeps the folder that holds its result. Otherwise it gets the first of its names that is free: no other
    input of the call and no earlier result has it.
    """

    def __init__(self, out: Path, inputs: Iterable[Input], *, overwrite: bool) -> None:
        """Reserves the names of the call's inputs.

        Args:
            out: The output folder.
            inputs: All inputs of the call.
            overwrite: Whether results of other inputs are replaced.
        """
        self._out = out
        self._overwrite = overwrite
        # Which input of the call has a name, whether or not it was picked yet.
        self._claims = {name_key(each.name): _absolute(each) for each in inputs}

    @contextlib.contextmanager
    def prepared(
        self, given: Input, parts: list[Part], done: Callable[[Place], bool]
    ) -> Iterator[tuple[list[Place], str]]:
        """Chooses, makes and locks the folders of the parts of a file.

        Args:
            given: The file.
            parts: Its parts.
            done: Says of a place whether there is nothing to do; its folder is then not locked.

        Yields:
            The places, and one line about them if they are not where one would look first; else an empty text.

        Raises:
            ArgumentError: Other files of this call write to the only possible folder.
            FileError: The folders hold the result of another input and there is no other name, or one of them holds
                the input, cannot be made, or is being written to.
        """
        records = [InputRecord.of(part.dataset) for part in parts]
        owned = self._owned(given, parts, records)
        taken = ""
        for name in given.names[given.first :] if owned is None else [owned]:
            with contextlib.ExitStack() as stack:
                places, why = self._at(name, given, parts, records)
                why = why or _lock(places, given, stack, done)
                if not why:  # again: until the lock, another process could write to the folders
                    places, why = self._at(name, given, parts, records)
                if not why:
                    self._claims.update({self._key(place.folder): _absolute(given) for place in places})
                    yield places, taken and f"{taken}; the result is in {self._out / name}"
                    return
            taken = taken or why
        raise ArgumentError(f"{given.path}: {taken}; pick them into separate folders")

    def _owned(self, given: Input, parts: list[Part], records: list[InputRecord]) -> str | None:
        """The name under which a folder holds a result of this input."""
        for name in given.own_names():
            for part, record in zip(parts, records, strict=True):
                with contextlib.suppress(FileError):  # a record of nobody's is looked at when its folder is wanted
                    found = earlier_result(self._out / part.folder_of(name), record)
                    if found is not None and found.same:
                        return name
        return None

    def _at(self, name: str, given: Input, parts: list[Part], records: list[InputRecord]) -> tuple[list[Place], str]:
        """The places under a name, and why they cannot be used; an empty text if they can."""
        places = []
        for part, record in zip(parts, records, strict=True):
            folder = self._out / part.folder_of(name)
            claimed = self._claims.get(self._key(folder), _absolute(given))
            if claimed != _absolute(given):
                return [], f"{folder} is for {claimed}"
            refuse_input_folder((part.dataset.path, part.dataset.ibd_path), folder)
            try:
                earlier = earlier_result(folder, record)
            except FileError:
                if not self._overwrite:
                    raise
                earlier = None
            if earlier is not None and not earlier.same and not self._overwrite:
                if earlier.replaced or len(given.names) == 1:
                    raise earlier.refusal
                return [], f"{folder} holds the result of {earlier.owner}"
            places.append(Place(part, folder, record, earlier))
        return places, ""

    def _key(self, folder: Path) -> str:
        return name_key(folder.relative_to(self._out).as_posix())


def _absolute(given: Input) -> str:
    return os.path.abspath(given.path)


def _lock(places: list[Place], given: Input, stack: contextlib.ExitStack, done: Callable[[Place], bool]) -> str:
    """Makes and locks folders; says which one another pick works on, for another input.

    Raises:
        FileError: One of them cannot be made, or another pick works on it for the same input.
    """
    for place in places:
        if done(place):
            continue
        note = json.dumps({"path": os.path.abspath(given.path), "uuid": plain_uuid(place.record.uuid)})
        try:
            stack.enter_context(PreparedFolder(place.folder, note=note))
        except LockedError as error:
            other = _other_input(error.note, place.record)
            if other is None or len(given.names) == 1:
                raise
            return f"{place.folder} is being written to by a pick of {other}"
    return ""


def _other_input(note: str, record: InputRecord) -> str | None:
    """The input that the holder of a lock works on; None if it is the same one, or unknown."""
    try:
        holder = json.loads(note)
        path, uuid = str(holder["path"]), str(holder["uuid"])
    except (ValueError, KeyError, TypeError):
        return None
    same = same_file(path, record.path) or uuid == plain_uuid(record.uuid) != ""
    return None if same else path
