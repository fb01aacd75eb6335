"""Images of a study for its page: from the matrices where they are up to date, else from the sections' files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import FileError, IonMorphNetError, UnavailableError
from ionmorphnet.base.paths import is_url
from ionmorphnet.cohort.consensus import Consensus
from ionmorphnet.cohort.matrix import StoredMatrix, open_matrix
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.picking.run_record import InputRecord
from ionmorphnet.report.tiles import Crop, Tile, make_tile

Int64 = npt.NDArray[np.int64]

# Images of a section that are held at once.
_IMAGE_BYTES = 256 << 20


@dataclass(frozen=True)
class SectionPictures:
    """Thumbnails of a section.

    Attributes:
        tic: Total ion current; None if the section could not be read.
        images: The channels that were asked for; none if the section could not be read, or is not in the consensus.
        problem: Why it could not be read; empty if it could.
    """

    tic: Tile | None
    images: Sequence[Tile]
    problem: str


def current_matrices(folder: Path, found: Consensus, names: Sequence[str]) -> list[StoredMatrix] | None:
    """The matrices of the sections if all are there, of this consensus and alike in normalisation; else None.

    Images that are compared with each other must be in the same units, so it is all of them or none.
    """
    position = {name: k for k, name in enumerate(found.sections)}
    mz = found.channels["mz"].to_numpy(np.float64)
    opened = []
    for name in names:
        if name not in position or not (folder / f"{name}.zarr" / ".zgroup").is_file():
            return None
        try:
            stored = open_matrix(folder / f"{name}.zarr")
        except (FileError, UnavailableError):
            return None
        drift = found.drift[position[name]]
        same = np.array_equal(stored.mz, mz) and np.array_equal(stored.drift_mz, drift.mz)
        if not same or not np.array_equal(stored.drift_ppm, drift.ppm):
            return None
        opened.append(stored)
    return opened if len({each.normalize for each in opened}) == 1 else None


def section_pictures(
    record: InputRecord,
    path: str,
    found: Consensus | None,
    section: int,
    channels: Int64,
    *,
    stored: StoredMatrix | None = None,
    sides: tuple[int, int] = (96, 64),
    threads: int = 0,
) -> SectionPictures:
    """Thumbnails of a section.

    Args:
        record: The section.
        path: Its file, or URL.
        found: The consensus; None: only the total ion current is wanted.
        section: Position of the section in the consensus.
        channels: Positions of the wanted channels (k,).
        stored: Its matrix, from which all pictures come; None: they come from the file.
        sides: Longest side of the picture of the total ion current, and of the images.
        threads: CPU threads, 0 = all cores.
    """
    size = record.pixel_size_um
    if stored is not None:
        tic, images = _from_matrix(stored, channels, sides, size)
        return SectionPictures(tic, images, "")
    if is_url(path):  # a page is not worth the transfer
        return SectionPictures(None, [], f"{path}: is behind a URL; ionmorphnet cohort matrix gets its pictures")
    try:
        with record.reopen(path) as ds:
            crop = Crop.of(ds.mask)
            tic = make_tile(ds.tic_image(threads=threads), crop, sides[0], size)
            images = []
            if found is not None and len(channels):
                images = _from_file(ds, found, section, channels, crop, sides[1], threads)
            return SectionPictures(tic, images, "")
    except (IonMorphNetError, OSError) as error:
        return SectionPictures(None, [], " ".join(str(error).split()))


def _from_file(
    ds: Dataset, found: Consensus, section: int, channels: Int64, crop: Crop, side: int, threads: int
) -> list[Tile]:
    axis = found.axis(section)
    lo, hi = axis.mz_lo[channels], axis.mz_hi[channels]
    step = max(1, _IMAGE_BYTES // (4 * ds.mask.size))
    return _tiles(
        lambda part: ds.window_images(lo[part], hi[part], threads=threads), len(channels), step, crop, side,
        ds.pixel_size_um,
    )  # fmt: skip


def _from_matrix(
    stored: StoredMatrix, channels: Int64, sides: tuple[int, int], pixel_size_um: tuple[float, float] | None
) -> tuple[Tile, list[Tile]]:
    x, y = stored.x, stored.y
    mask = np.zeros((int(y.max()) + 1, int(x.max()) + 1) if len(y) else (1, 1), np.bool_)
    mask[y, x] = True
    tic = np.full(mask.shape, np.nan, np.float32)
    tic[y, x] = stored.tic
    crop = Crop.of(mask)

    def images(part: slice) -> npt.NDArray[np.float32]:
        # The store is read in ascending order.
        order = np.argsort(channels[part], kind="stable")
        values = stored.columns(channels[part][order])
        drawn = np.full((len(order), *mask.shape), np.nan, np.float32)
        drawn[order[:, None], y, x] = values.T
        return drawn

    step = max(1, _IMAGE_BYTES // (4 * (mask.size + len(y))))
    tiles = _tiles(images, len(channels), step, crop, sides[1], pixel_size_um)
    return make_tile(tic, crop, sides[0], pixel_size_um), tiles


def _tiles(
    images: Callable[[slice], npt.NDArray[np.float32]],
    n: int,
    step: int,
    crop: Crop,
    side: int,
    pixel_size_um: tuple[float, float] | None,
) -> list[Tile]:
    found: list[Tile] = []
    for first in range(0, n, step):
        found += [make_tile(each, crop, side, pixel_size_um) for each in images(slice(first, first + step))]
    return found
