"""Ion images of a list of m/z: ours in one call, imzy's batch call, pyimzML and pyM2aia one by one."""

from __future__ import annotations

import numpy as np

import ionmorphnet as imn
from benchmarks.common import Context, Row, interleaved, rows
from benchmarks.parse import _imzy, _m2aia, _pyimzml

PPM = 5.0
ONE_BY_ONE = 3


def run(context: Context) -> list[Row]:
    found = []
    sections = dict(context.sections())
    sections["simulated 200 x 150, 2,000 channels (processed)"] = context.simulated(
        "binning", shape=(150, 200), n_channels=2000, mode="processed", seed=5
    )
    for name, path in sections.items():
        with imn.open(path) as ds:
            mz = imn.candidate_axis(ds).mz
            mz = mz[np.linspace(0, len(mz) - 1, min(len(mz), 1000)).astype(int)]
            found += _one(name, path, ds, mz, context)
    return found


def _one(name: str, path, ds: imn.Dataset, mz: np.ndarray, context: Context) -> list[Row]:
    copy = context.work / "imzy" / path.name
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        copy.symlink_to(path.resolve())
        copy.with_suffix(".ibd").symlink_to(path.with_suffix(".ibd").resolve())
    imzy_reader, pyimzml_reader, m2aia_reader = _imzy(copy), _pyimzml(path), _m2aia(path)
    few = mz[np.linspace(0, len(mz) - 1, ONE_BY_ONE).astype(int)]

    ours = ds.ion_images(mz, ppm=PPM)
    theirs = np.asarray(imzy_reader.get_ion_images(mz, ppm=PPM))
    measured = ~np.isnan(ours[0])
    theirs = theirs.reshape(len(mz), -1)[:, : measured.size]
    assert np.allclose(ours.reshape(len(mz), -1)[:, measured.ravel()], theirs[:, measured.ravel()], rtol=1e-5)

    def pyimzml_images() -> None:
        from pyimzml.ImzMLParser import getionimage

        for value in few:
            getionimage(pyimzml_reader, value, tol=value * PPM * 1e-6)

    def m2aia_images() -> None:
        for value in few:
            m2aia_reader.GetArray(value, value * PPM * 1e-6)

    many = interleaved(
        {
            "ionmorphnet ion_images": lambda: ds.ion_images(mz, ppm=PPM),
            "imzy get_ion_images": lambda: imzy_reader.get_ion_images(mz, ppm=PPM),
        },
        context.repeat,
    )
    single = interleaved({"pyimzML getionimage": pyimzml_images, "pyM2aia GetArray": m2aia_images}, 1)
    per_image = {tool: seconds / len(mz) for tool, seconds in many.items()}
    per_image.update({tool: seconds / len(few) for tool, seconds in single.items()})
    notes = {"pyimzML getionimage": f"{len(few)} images timed", "pyM2aia GetArray": f"{len(few)} images timed"}
    return rows(f"{name}, {len(mz)} m/z, per image", per_image, ours="ionmorphnet ion_images", notes=notes)
