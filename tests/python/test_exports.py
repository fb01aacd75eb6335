"""What exported picks say about where they come from, and what becomes of them on a full disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet.io.h5ad import write_h5ad


def shifted(path: Path, *, origin: tuple[int, int], step: int = 1, planes: tuple[int | None, ...] = (None,)) -> Path:
    """A section of 7 x 6 pixels, one of them missing, whose positions start somewhere and go by ``step``."""
    rng = np.random.default_rng(3)
    x0, y0 = origin
    specs = [
        Spec(x0 + step * x, y0 + step * y, [100.0, 200.0], rng.uniform(1.0, 9.0, 2), z=z)
        for z in planes
        for y in range(6)
        for x in range(7)
        if (x, y) != (3, 2)
    ]
    return write_imzml(path, specs, shared_axis=True)


@pytest.mark.parametrize(
    ("origin", "step", "planes", "first"),
    [
        ((1, 1), 1, (None,), (1, 1, 1)),
        ((40, 12), 1, (None,), (40, 12, 1)),
        ((0, -3), 1, (0,), (1, 1, 1)),  # imzML counts from 1
        ((40, 0), 1, (7,), (40, 1, 7)),
        ((5000, 900), 50, (None,), (1, 1, 1)),  # the stage's steps
        ((2**31 - 3, 5), 1, (None,), (1, 5, 1)),  # more than imzML's integers hold
        ((4, 4), 1, (5, 15), (4, 4, 15)),
    ],
)
def test_positions_are_those_of_the_file(
    tmp_path: Path, origin: tuple[int, int], step: int, planes: tuple[int | None, ...], first: tuple[int, int, int]
) -> None:
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    with imn.open(shifted(tmp_path / "s.imzML", origin=origin, step=step, planes=planes)) as section:
        ds = section.plane(section.z_planes[-1])
        peaks = imn.pick(ds, scorer="moran", top=2)
        peaks.to_imzml(tmp_path / "p.imzML")
        with imn.open(tmp_path / "p.imzML") as back:
            assert tuple(back.raw_coordinates[0]) == first
            assert np.array_equal(back.ion_images(peaks.mz, tol=0.1), peaks.ion_images(), equal_nan=True)
            assert back.shape == ds.shape
            moved = back.raw_coordinates[:, :2] - first[:2]
            assert np.array_equal(moved * step, ds.raw_coordinates[:, :2] - origin)
        table = peaks.to_anndata()
        assert np.array_equal(table.obs[["imzml_x", "imzml_y", "imzml_z"]].to_numpy(), ds.raw_coordinates)
        write_h5ad(table, tmp_path / "p.h5ad")


FULL_DISK = """
import resource, sys
from pathlib import Path
import anndata, numpy as np
import ionmorphnet as imn
from ionmorphnet.io.h5ad import write_h5ad

table = anndata.AnnData(X=np.random.default_rng(0).random((300, 300), np.float32))
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
try:
    write_h5ad(table, Path(sys.argv[1]))
except imn.FileError as error:
    print(error)
"""


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    target = tmp_path / "p.h5ad"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, target], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == []
