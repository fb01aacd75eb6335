"""Header parsing: ours, a plain read of the same bytes, pyimzML, imzy, pyM2aia. Coordinates and offsets are equal."""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from benchmarks.common import Context, Row, interleaved, rows


def run(context: Context) -> list[Row]:
    found = []
    for name, path in context.sections().items():
        # imzy writes a cache folder next to the file, so it gets a separate copy.
        copy = context.work / "imzy" / path.name
        copy.parent.mkdir(exist_ok=True)
        for file in (path, path.with_suffix(".ibd")):
            if not (copy.parent / file.name).exists():
                shutil.copy(file, copy.parent / file.name)
        _assert_equal(path)
        tools = {
            "ionmorphnet open": lambda p=path: imn.open(p).close(),
            "read of the same bytes": lambda p=path: _read(p),
            "pyimzML": lambda p=path: _pyimzml(p),
            "imzy": lambda p=copy: _imzy(p),
            "pyM2aia": lambda p=path: _m2aia(p),
        }
        seconds = interleaved(tools, max(2, context.repeat // 2))
        size = path.stat().st_size
        notes = {tool: f"{size / value / 1e6:.0f} MB/s" for tool, value in seconds.items()}
        notes["pyM2aia"] += ", includes its initial images"
        found += rows(f"{name}, {size / 1e6:.0f} MB", seconds, ours="ionmorphnet open", notes=notes)
    return found


def _read(path: Path) -> int:
    buffer = bytearray(1 << 20)
    total = 0
    with path.open("rb", buffering=0) as stream:
        while n := stream.readinto(buffer):
            total += n
    return total


def _pyimzml(path: Path) -> object:
    from pyimzml.ImzMLParser import ImzMLParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ImzMLParser(str(path))


def _imzy(path: Path) -> object:
    import imzy

    for cache in path.parent.glob("*.icache"):  # otherwise imzy reads its index instead of the XML
        shutil.rmtree(cache) if cache.is_dir() else cache.unlink()
    logging.disable(logging.WARNING)
    try:
        return imzy.get_reader(path)
    finally:
        logging.disable(logging.NOTSET)


def _m2aia(path: Path) -> object:
    import m2aia

    reader = m2aia.ImzMLReader(str(path))
    reader.Load() if hasattr(reader, "Load") else reader.Execute()
    return reader


def _assert_equal(path: Path) -> None:
    peer = _pyimzml(path)
    with imn.open(path) as ds:
        assert np.array_equal(ds.raw_coordinates[:, :2], np.array(peer.coordinates)[:, :2])
        for i in np.linspace(0, ds.n_spectra - 1, 50).astype(int):
            mz, intensity = ds.spectrum(int(i))
            expected_mz, expected = peer.getspectrum(int(i))
            assert np.array_equal(mz, np.asarray(expected_mz, float))
            assert np.array_equal(intensity, np.asarray(expected, float))
