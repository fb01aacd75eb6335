"""The stages of the device loop one at a time, on emulated kernels and on a GPU, against the CPU's stages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet import _core
from ionmorphnet.models.labels import STATISTICS
from kernels import DeviceCalls
from native import _core_testing

MASKED = "p99-stretch-224-mask"


@pytest.fixture(params=["emulated", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each backend of the device loop."""
    return "emulated" if request.param == "emulated" else request.getfixturevalue("cuda")


@pytest.mark.parametrize("shared_axis", [True, False])
def test_bin(tmp_path: Path, device: str, shared_axis: bool) -> None:
    rng = np.random.default_rng(4)
    axis = np.sort(rng.uniform(100, 900, 400))
    spectra = []
    for k in range(37 * 11):
        if rng.random() < 0.1:
            continue
        mz = axis if shared_axis else np.sort(rng.choice(axis, 150, replace=False))
        spectra.append(Spec(k % 37 + 1, k // 37 + 1, mz, rng.exponential(size=len(mz)).astype(np.float32)))
    path = write_imzml(tmp_path / "x.imzML", spectra, shared_axis=shared_axis, spectrum_type="centroid")
    centre = rng.uniform(90, 910, 200)
    half = centre * 10.0 ** rng.uniform(-6, -1.5, 200)
    with imn.open(path) as ds:
        wanted = _core.bin_images(ds._native, centre - half, centre + half, unmeasured=0.0)
        probe = DeviceCalls(device, 1).probe_bin(ds._native, centre - half, centre + half, repeat=2)
    np.testing.assert_array_equal(probe["images"], wanted)
    assert probe["seconds"] > 0
    assert probe["chunk_bytes"] > 0


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("shared_axis", [True, False])
def test_bin_many_chunks(tmp_path: Path, device: str, shared_axis: bool, twice: bool) -> None:
    """More chunks than one launch takes, and more pixels than are read ahead; `twice`: some pixels have two spectra."""
    rng = np.random.default_rng(6)
    axis = np.sort(rng.uniform(100, 900, 40))
    spectra = []
    for k in rng.permutation(61 * 43):
        for _ in range(1 + int(twice and k % 50 == 0)):
            mz = axis if shared_axis else np.sort(rng.choice(axis, 20, replace=False))
            place = (int(k) % 61 + 1, int(k) // 61 + 1)
            spectra.append(Spec(*place, mz, rng.exponential(size=len(mz)).astype(np.float32)))
    # Compressed and plain peaks have a source of chunks each.
    path = write_imzml(tmp_path / "x.imzML", spectra, shared_axis=shared_axis, spectrum_type="centroid", compress=twice)
    centre = rng.uniform(90, 910, 70)
    half = centre * 10.0 ** rng.uniform(-4, -1.5, 70)
    # Chunks of 32 pixels fit, and a few pixels more; bins: if each had as many spectra as any.
    of_pixel = 12 + (40 * 4 * (1 + twice) if shared_axis else 8 + 20 * 12)
    with imn.open(path, duplicates="sum") as ds:
        wanted = _core.bin_images(ds._native, centre - half, centre + half)
        probe = DeviceCalls(device, 1).probe_bin(
            ds._native, centre - half, centre + half, pinned_memory=3 * (1300 + 39 * of_pixel)
        )
    np.testing.assert_array_equal(probe["images"], wanted)
    *whole, last = probe["chunk_pixels"]
    assert sum(whole) + last == 61 * 43 > 2048
    assert len(whole) > 64
    assert set(whole) == {32}


@pytest.mark.parametrize("preprocess_id", [MASKED, "p99-stretch-224"])
@pytest.mark.parametrize("kind", ["f32", "bf16", "f16"])
@pytest.mark.parametrize("masked", [True, False])
def test_preprocess(device: str, preprocess_id: str, kind: str, masked: bool) -> None:
    images, mask = _images(masked)
    probe = DeviceCalls(device, 2).probe_prepare(images, mask, preprocess_id=preprocess_id, type=kind)
    np.testing.assert_array_equal(probe["facts"]["blank"], _core_testing.find_blank(images, preprocess_id, mask))
    wanted = _core.preprocess(images, preprocess_id, mask)
    if kind == "f32":
        np.testing.assert_array_equal(probe["input"], wanted)
    elif kind == "f16":
        np.testing.assert_array_equal(probe["input"].view(np.float16), wanted.astype(np.float16))
    else:
        given = (probe["input"].astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_allclose(given, wanted, rtol=2.0**-8, atol=0)


@pytest.mark.parametrize("preprocess_id", ["p99-area-32-mask-sqrt-sample", "p99-stretch-112-sample", "p99-area-48"])
def test_preprocess_with_tables(device: str, preprocess_id: str, rng: np.random.Generator) -> None:
    images, mask = _images(True)
    for sample in (None, rng.random(images.shape[1:]).astype(np.float32)):
        probe = DeviceCalls(device, 2).probe_prepare(images, mask, preprocess_id=preprocess_id, sample=sample)
        np.testing.assert_array_equal(probe["input"], _core.preprocess(images, preprocess_id, mask, sample))


@pytest.mark.parametrize("names", [list(STATISTICS), ["blur"], ["chaos", "moran"]])
@pytest.mark.parametrize("preprocess_id", [MASKED, "p99-stretch-224"])
def test_statistics(device: str, preprocess_id: str, names: list[str]) -> None:
    images, mask = _images(True)
    probe = DeviceCalls(device, 3).probe_prepare(images, mask, preprocess_id=preprocess_id, statistics=names)
    wanted = _core.image_statistics(images, mask)[:, [STATISTICS.index(name) for name in names]]
    np.testing.assert_allclose(probe["statistics"], wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_copy(device: str, size: int) -> None:
    seconds = DeviceCalls(device).probe_copy(size, repeat=2)
    assert seconds["copy_s"] > 0
    assert seconds["upload_s"] > 0


def test_what_cannot_be_probed() -> None:
    with pytest.raises(imn.ArgumentError, match="bytes must be positive"):
        _core_testing.probe_copy(0)
    with pytest.raises(imn.ArgumentError, match="needs a CUDA device"):
        _core.probe_copy(1, device="cpu")


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(imn.UnavailableError, match="device 'cuda:97': "):
        _core.probe_copy(1, device="cuda:97")


def _images(masked: bool) -> tuple[np.ndarray, np.ndarray | None]:
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:43, :57] / 20
    images = rng.exponential(size=(9, 43, 57)) * (0.1 + (np.sin(3 * x) * np.cos(2 * y) > 0.3))
    images[2] = 0
    images[4] = 3.5
    images[5, 10:20] = np.nan
    images[6][rng.random((43, 57)) < 0.995] = 0
    return images.astype(np.float32), (rng.random((43, 57)) < 0.85).astype(np.uint8) if masked else None
