"""State of a labelling session: queue, labels, undo, the two passes. Knows nothing of HTTP."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.labelling.agreement import Agreement, measure_agreement
from ionmorphnet.labelling.candidates import Candidates
from ionmorphnet.labelling.label_file import Label, LabelFile, Row
from ionmorphnet.labelling.order import Order, active_order, check_order, second_order
from ionmorphnet.models.labels import CLASSES

Pass = Literal[1, 2]


class StaleError(IonMorphNetError):
    """The request was made on a view that another window has changed since."""


@dataclass(frozen=True)
class _Change:
    """What undo takes back: the row and the skipped mark of one image, before and after."""

    item: int
    before: tuple[Row | None, bool]
    after: tuple[Row | None, bool]


class Session:
    """Labels images of one section into one CSV; safe for calls from several threads.

    Every change is on the disk before the method returns. A change that cannot be saved is taken back.
    """

    def __init__(self, candidates: Candidates, file: LabelFile, order: Order = "active") -> None:
        """Start with the first pass.

        Args:
            candidates: The images.
            file: Their label file.
            order: Order of the first pass.
        """
        self.candidates, self.file = candidates, file
        self._lock = threading.RLock()
        self._revision = 0
        self._saved: str | None = None
        self._order = order
        self._pass: Pass = 1
        self._queue: list[int] = []
        self._skipped: set[int] = set()
        self._undo: list[_Change] = []
        self._redo: list[_Change] = []
        self._arrange()

    def _arrange(self) -> None:
        candidates = self.candidates
        if self._pass == 2:
            self._queue = second_order([*self.file.rows], f"{candidates.filename} second pass")
        elif self._order == "rank":
            self._queue = [*range(len(candidates))]
        else:
            self._queue = active_order(len(candidates), candidates.probabilities, candidates.filename)
        self._skipped, self._undo, self._redo = set(), [], []

    def close(self) -> None:
        """Wait for a change in progress and give the label file back; later changes are refused."""
        with self._lock:
            self.file.close()

    @property
    def queue(self) -> tuple[int, ...]:
        """Items of the current pass in the order of showing."""
        with self._lock:
            return tuple(self._queue)

    def choose(self, pass_number: int, order: str, revision: int | None = None) -> None:
        """Choose pass and order. What was done before can no longer be undone.

        Raises:
            ArgumentError: Unknown pass or order, or a second pass without labels.
            StaleError: ``revision`` is not the current one.
        """
        with self._lock:
            self._require(revision)
            wanted = check_order(order)
            if pass_number not in (1, 2):
                raise ArgumentError(f"pass must be 1 or 2, not {pass_number!r}")
            if pass_number == 2 and not self.file.rows:
                raise ArgumentError("a second pass needs labels of a first one")
            self._pass = 1 if pass_number == 1 else 2
            self._order = wanted
            self._revision += 1
            self._arrange()

    def label(self, item: int, label: int, grade: float | None, revision: int | None = None) -> None:
        """Label an image in the current pass, or replace its label.

        Args:
            item: Number of the candidate.
            label: Index into ``CLASSES``.
            grade: 0 to 3 in steps of 0.5; None: no grade.
            revision: Revision of the view on which the label was made; None: whatever is current.

        Raises:
            ArgumentError: A value is out of range, or the image does not belong to this pass.
            FileError: The label cannot be saved; nothing has changed.
            StaleError: ``revision`` is not the current one.
        """
        with self._lock:
            self._require(revision)
            self._require_item(item)
            if not 0 <= label < len(CLASSES):
                raise ArgumentError(f"label must be from 0 to {len(CLASSES) - 1}, not {label}")
            if grade is not None and (not 0.0 <= grade <= 3.0 or grade * 2 != int(grade * 2)):
                raise ArgumentError(f"grade must be from 0 to 3 in steps of 0.5, not {grade}")
            made, row = Label(label, grade), self.file.rows.get(item)
            if self._pass == 2:
                assert row is not None
                after = replace(row, second=made, structure=None)
            else:
                after = Row(made) if row is None else replace(row, first=made, structure=None)
            self._do(item, (after, False))

    def clear(self, item: int, revision: int | None = None) -> None:
        """Remove an image's label of the current pass; without a first label there is no second one either.

        Raises:
            ArgumentError: The image does not belong to this pass.
            FileError: The change cannot be saved; nothing has changed.
            StaleError: ``revision`` is not the current one.
        """
        with self._lock:
            self._require(revision)
            self._require_item(item)
            row = self.file.rows.get(item)
            after = replace(row, second=None, structure=None) if row is not None and self._pass == 2 else None
            self._do(item, (after, item in self._skipped))

    def skip(self, item: int, revision: int | None = None) -> None:
        """Put an image off until the others are labelled. Not written to the file.

        Raises:
            ArgumentError: The image does not belong to this pass.
            StaleError: ``revision`` is not the current one.
        """
        with self._lock:
            self._require(revision)
            self._require_item(item)
            self._do(item, (self.file.rows.get(item), True))

    def undo(self, revision: int | None = None) -> int | None:
        """Take back the last change.

        Returns:
            Its image; None if there is nothing to undo.

        Raises:
            FileError: The change cannot be saved; nothing has changed.
            StaleError: ``revision`` is not the current one.
        """
        return self._travel(back=True, revision=revision)

    def redo(self, revision: int | None = None) -> int | None:
        """Repeat the change that was taken back last; otherwise as :meth:`undo`."""
        return self._travel(back=False, revision=revision)

    def _travel(self, *, back: bool, revision: int | None) -> int | None:
        with self._lock:
            self._require(revision)
            source, target = (self._undo, self._redo) if back else (self._redo, self._undo)
            if not source:
                return None
            change = source[-1]
            self._apply(change.item, change.before if back else change.after)
            target.append(source.pop())
            return change.item

    def _require(self, revision: int | None) -> None:
        if revision is not None and revision != self._revision:
            raise StaleError("another window has changed the labels; this one was brought up to date")

    def _require_item(self, item: int) -> None:
        if not 0 <= item < len(self.candidates):
            raise ArgumentError(f"item must be from 0 to {len(self.candidates) - 1}, not {item}")
        if self._pass == 2 and item not in self.file.rows:
            raise ArgumentError(f"item {item} has no first label and does not belong to the second pass")

    def _do(self, item: int, after: tuple[Row | None, bool]) -> None:
        before = self.file.rows.get(item), item in self._skipped
        if before == after:
            return
        self._apply(item, after)
        self._undo.append(_Change(item, before, after))
        self._redo.clear()

    def _apply(self, item: int, wanted: tuple[Row | None, bool]) -> None:
        row, skipped = wanted
        rows = dict(self.file.rows)
        if self.file.rows.get(item) != row:
            if row is None:
                del self.file.rows[item]
            else:
                self.file.rows[item] = row
            try:
                self.file.save()
            except BaseException:
                self.file.rows = rows
                raise
            self._saved = datetime.now().astimezone().isoformat(timespec="seconds")
        self._skipped.discard(item)
        if skipped:
            self._skipped.add(item)
        self._revision += 1

    def progress(self) -> dict[str, object]:
        """What changes with every label, as plain values."""
        with self._lock:
            return {
                "revision": self._revision,
                "pass": self._pass,
                "first": len(self.file.rows),
                "second": sum(row.second is not None for row in self.file.rows.values()),
                "can_undo": bool(self._undo),
                "can_redo": bool(self._redo),
                "saved": self._saved,
            }

    def entry(self, item: int) -> dict[str, object]:
        """Label of an image in the current pass, as plain values; a second pass never tells the first label."""
        with self._lock:
            row = self.file.rows.get(item)
            shown = None if row is None else row.first if self._pass == 1 else row.second
            return {
                "item": item,
                "label": None if shown is None else shown.label,
                "grade": None if shown is None else shown.grade,
                "skipped": item in self._skipped,
            }

    def state(self) -> dict[str, object]:
        """Everything that a view of the current pass needs, as plain values."""
        with self._lock:
            marked = {*self.file.rows, *self._skipped} & set(self._queue)
            entries = [self.entry(item) for item in sorted(marked)]
            return {
                **self.progress(),
                "order": self._order,
                "queue": list(self._queue),
                "captions": [self.candidates.caption(item) for item in self._queue],
                "entries": [entry for entry in entries if entry["label"] is not None or entry["skipped"]],
            }

    def agreement(self) -> Agreement | None:
        """Agreement of the two passes; None as long as no image has two labels."""
        with self._lock:
            both = [(row.first, row.second) for row in self.file.rows.values() if row.second is not None]
        grades = [(a.grade, b.grade) for a, b in both if a.grade is not None and b.grade is not None]
        return measure_agreement([(a.label, b.label) for a, b in both], grades)

    def class_counts(self) -> Mapping[str, int]:
        """Number of images of each class in the first pass."""
        with self._lock:
            labels = [row.first.label for row in self.file.rows.values()]
        return {name: labels.count(k) for k, name in enumerate(CLASSES)}
