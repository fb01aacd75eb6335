"""Logs of a training: CSV, and TensorBoard events on request."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.base.files import atomic_path

COLUMNS = ("step", "images", "size", "loss", "classes", "structure", "ranking", "lr", "images_per_s", "seconds")


class CsvLog:
    """Appends lines; opening it for a resumed training drops the lines after its step."""

    def __init__(self, path: Path, step: int, columns: tuple[str, ...] = COLUMNS) -> None:
        """Open ``path`` for a training at ``step``."""
        self.path, self.columns = path, columns
        kept = []
        if step and path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.DictReader(file) if _step(row) <= step]
        with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)

    def add(self, row: Mapping[str, float]) -> None:
        """Append a line; missing columns stay empty."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, extrasaction="ignore").writerow(row)


class Board:
    """TensorBoard events of the same values."""

    def __init__(self, folder: Path, step: int) -> None:
        """Continue in ``folder``; events after ``step`` are hidden.

        Raises:
            UnavailableError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UnavailableError(
                "TensorBoard events require the package tensorboard: pip install tensorboard"
            ) from error
        self.writer = SummaryWriter(str(folder), purge_step=step or None)

    def add(self, kind: str, row: Mapping[str, float]) -> None:
        """Write the values of a line under ``kind/<column>``."""
        for name, value in row.items():
            if name != "step":
                self.writer.add_scalar(f"{kind}/{name}", value, int(row["step"]))
        self.writer.flush()


def _step(row: Mapping[str, str | None]) -> int:
    """Step of a line; a truncated line (from a power failure) sorts after every step."""
    try:
        return int(row["step"] or "")
    except ValueError:
        return 1 << 62
