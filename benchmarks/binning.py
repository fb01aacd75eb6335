"""Ion images of an m/z list: one call of ours, one batch call of imzy, single calls of pyimzML and pyM2aia.

Our images must equal float64 sums of the spectra. Those of other tools may differ: imzy includes peaks slightly outside
the window, pyimzML returns a spectrum's first peak for windows below its second one (its issue 19), and pyM2aia also
differs on sparse processed spectra. The table says at how many pixels.
"""

from __future__ import annotations

import numpy as np

import ionmorphnet as imn
from benchmarks.common import Context, Row, interleaved, rows
from benchmarks.parse import _imzy, _m2aia, _pyimzml
from ionmorphnet import reference

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
    few = mz[(np.linspace(0.1, 0.9, ONE_BY_ONE) * (len(mz) - 1)).astype(int)]  # pyM2aia rejects the end points

    ours = ds.ion_images(mz, ppm=PPM)
    _assert_equals_plain_sums(ds, mz, ours)
    theirs = np.nan_to_num(np.asarray(imzy_reader.get_ion_images(mz, ppm=PPM)))

    def pyimzml_images() -> list[np.ndarray]:
        from pyimzml.ImzMLParser import getionimage

        return [getionimage(pyimzml_reader, value, tol=value * PPM * 1e-6) for value in few]

    def m2aia_images() -> list[np.ndarray]:
        return [m2aia_reader.GetArray(value, value * PPM * 1e-6)[0] for value in few]

    expected = np.nan_to_num(ds.ion_images(few, ppm=PPM))
    notes = {
        tool: f"{len(few)} images timed, {_differences(images(), expected)}"
        for tool, images in {"pyimzML getionimage": pyimzml_images, "pyM2aia GetArray": m2aia_images}.items()
    }

    many = interleaved(
        {
            "ionmorphnet ion_images": lambda: ds.ion_images(mz, ppm=PPM),
            "imzy get_ion_images": lambda: imzy_reader.get_ion_images(mz, ppm=PPM),
        },
        context.repeat,
    )
    single = interleaved({"pyimzML getionimage": pyimzml_images, "pyM2aia GetArray": m2aia_images}, 1)
    per_image = {tool: seconds / len(mz) for tool, seconds in many.items()}
    notes["imzy get_ion_images"] = _differences(list(theirs), np.nan_to_num(ours))
    per_image.update({tool: seconds / len(few) for tool, seconds in single.items()})
    return rows(f"{name}, {len(mz)} m/z, per image", per_image, ours="ionmorphnet ion_images", notes=notes)


def _assert_equals_plain_sums(ds: imn.Dataset, mz: np.ndarray, images: np.ndarray) -> None:
    """Compares the images at some hundred pixels with numpy sums of the spectra, window bounds included."""
    lo, hi = reference.images.windows(mz, ppm=PPM)
    for i in np.random.default_rng(0).choice(ds.n_spectra, 200, replace=False):
        found_mz, intensity = ds.spectrum(int(i))
        x, y, _ = ds.coordinates[i] - 1
        first, last = np.searchsorted(found_mz, lo, "left"), np.searchsorted(found_mz, hi, "right")
        expected = [intensity[a:b].sum() for a, b in zip(first, last, strict=True)]
        assert np.allclose(images[:, y, x], expected, rtol=1e-6)


def _differences(images: list[np.ndarray], expected: np.ndarray) -> str:
    if any(image.shape != expected.shape[1:] for image in images):
        return "on another grid"
    differ = int((~np.isclose(np.stack(images), expected, rtol=1e-5)).sum())
    return "equal" if differ == 0 else f"{differ} of {expected.size} pixels differ"
