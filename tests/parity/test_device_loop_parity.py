"""The device loop, with the kernels' bodies run on the host, against the CPU's loop: the same blanks, the same scores.

Queues are threads that pause at random, so that work which does not wait for what it needs gives other results.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet import _core
from ionmorphnet.models.labels import STATISTICS
from native import _core_testing

MASKED = "p99-stretch-224-mask"
SMALL = 1 << 20  # bytes


class HostScorer:
    """A DeviceNetwork on the host's memory: linear in the mean of each channel and in the statistics."""

    name = "host"
    precision = "f32"
    input_dtype = "f32"

    def __init__(self, batch: int, channels: int, n_statistics: int, size: int = 224) -> None:
        self.batch, self.channels, self.n_statistics, self.size = batch, channels, n_statistics, size
        rng = np.random.default_rng(5)
        self.of_means = rng.normal(size=(channels, 7)).astype(np.float32) * 4
        self.of_statistics = rng.normal(size=(n_statistics, 7)).astype(np.float32)
        self.n_outputs = 7
        self.addresses: set[tuple[int, int, int]] = set()
        self.calls = 0

    def outputs(self, images: np.ndarray, statistics: np.ndarray | None = None) -> np.ndarray:
        """The network, for the CPU's loop."""
        weights = np.random.default_rng(6).random((self.size, self.size), dtype=np.float32) / self.size**2
        # Each image for itself: a product of matrices rounds differently from batch to batch.
        found = np.stack([np.einsum("chw,hw->c", image, weights) @ self.of_means for image in images])
        if statistics is not None:
            found += np.stack([row @ self.of_statistics for row in statistics])
        return found

    def enqueue(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        """Reads and writes the addresses at once."""
        self.calls += 1
        self.addresses.add((image, statistics, outputs))
        batch = _at(image, (self.batch, self.channels, self.size, self.size))
        assert np.isfinite(batch).all()  # the padding too
        beside = _at(statistics, (self.batch, self.n_statistics)) if self.n_statistics else None
        _at(outputs, (self.batch, self.n_outputs))[:] = self.outputs(batch, beside)


class _Memory:
    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__array_interface__ = {"shape": shape, "typestr": "<f4", "data": (address, False), "version": 3}


def _at(address: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(_Memory(address, shape))


@pytest.fixture(scope="module", params=["continuous", "processed", "zlib continuous", "zlib processed"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """19 x 23 pixels, some not measured, some measured twice; 300 m/z values a spectrum, some channels empty."""
    rng = np.random.default_rng(17)
    y, x = np.mgrid[:19, :23]
    axis = np.sort(rng.uniform(200, 900, 300))
    spectra = []
    for py, px in zip(y.ravel(), x.ravel(), strict=True):
        if rng.random() < 0.15:
            continue
        for _ in range(2 if rng.random() < 0.05 else 1):
            mz = axis if "continuous" in request.param else np.sort(rng.choice(axis, 200, replace=False))
            bright = 1 + 9 * ((px - 9) ** 2 + (py - 9) ** 2 < 40) * (mz % 7 < 3)
            intensity = rng.exponential(size=len(mz)) * bright * (mz % 5 > 0.7)
            spectra.append(Spec(int(px) + 1, int(py) + 1, mz, intensity.astype(np.float32)))
    path = tmp_path_factory.mktemp(request.param.replace(" ", "_")) / "section.imzML"
    compress = "intensity" if request.param == "zlib continuous" else request.param == "zlib processed"
    return write_imzml(
        path, spectra, shared_axis="continuous" in request.param, spectrum_type="centroid", compress=compress
    )


def windows(n: int = 61) -> tuple[np.ndarray, np.ndarray]:
    """In no order, overlapping, of all widths, some without a value, some twice."""
    rng = np.random.default_rng(3)
    mz = rng.uniform(195, 905, n)
    half = mz * 10.0 ** rng.uniform(-4, -2, n)
    half[::9] = 1e-9
    mz[5], half[5] = mz[4], half[4]
    half[7] = 300
    return mz - half, mz + half


def on_cpu(
    ds: imn.Dataset, scorer: HostScorer, preprocess_id: str, names: list[str], sample: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    shape = (scorer.channels, scorer.size, scorer.size)
    native = _core.callback_scorer(scorer.outputs, *shape, 7, 8, n_statistics=scorer.n_statistics)
    outputs, blank, _ = _core.score_windows(
        ds._scored, *windows(), scorer=native, preprocess_id=preprocess_id, statistics=names, sample=sample
    )
    return outputs, blank


@pytest.mark.parametrize("batch", [1, 7, 16, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_windows(file: Path, batch: int, seed: int) -> None:
    scorer = HostScorer(batch, 2, 0)
    with imn.open(file, duplicates="sum") as ds:
        wanted, blank = on_cpu(ds, scorer, MASKED, [])
        done: list[tuple[int, int]] = []
        outputs, found, timings = _core_testing.score_windows_on_device(
            ds._native,
            *windows(),
            scorer=scorer,
            preprocess_id=MASKED,
            device="emulated",
            device_memory=40 * SMALL,
            pinned_memory=SMALL // 10,
            threads=2,
            progress=lambda k, n: done.append((k, n)),
            seed=seed,
        )
    np.testing.assert_array_equal(found, blank)
    assert 0 < blank.sum() < 40
    np.testing.assert_array_equal(outputs, wanted)
    assert scorer.calls == -(-len(outputs) // batch)
    assert len(scorer.addresses) == min(timings["batches_ahead"], scorer.calls)
    assert done[-1] == (len(outputs), len(outputs))
    assert done.count(done[-1]) == 1
    assert timings["resident"] == file.parent.name.startswith("zlib")
    assert timings["chunks"] > 3
    assert timings["strips"] == (1 if timings["resident"] else n_strips(len(outputs), batch, timings))
    assert (timings["strips"] > 3) == (batch < 100 and not timings["resident"])


@pytest.mark.parametrize("preprocess_id", ["p99-area-32-mask-sqrt-sample", "p99-stretch-48-sample", "p99-area-64"])
def test_windows_of_other_preprocessings(file: Path, preprocess_id: str) -> None:
    """With and without a sample map, which is on the device once for all strips; sections of 19 x 23 pixels."""
    scorer = HostScorer(7, _core.preprocess_channels(preprocess_id), 0, _core.preprocess_size(preprocess_id))
    sample = np.random.default_rng(8).random((19, 23), dtype=np.float32)
    with imn.open(file, duplicates="sum") as ds:
        for given in (None, sample):
            wanted, _ = on_cpu(ds, scorer, preprocess_id, [], given)
            outputs, _, _ = run(ds, scorer, preprocess_id=preprocess_id, sample=given, device_memory=4 * SMALL)
            np.testing.assert_array_equal(outputs, wanted)
        images = np.nan_to_num(ds.window_images(*windows()))
        on_stack, _, _ = _core_testing.score_stack_on_device(
            images, ds.mask, scorer=scorer, preprocess_id=preprocess_id, sample=sample, device="emulated"
        )
        np.testing.assert_array_equal(on_stack, wanted)


def test_normalised_windows(file: Path) -> None:
    scorer = HostScorer(7, 2, 0)
    with imn.open(file, duplicates="sum") as ds:
        plain, _, _ = run(ds, scorer)
        for kind in ("tic", "median"):
            section = ds.normalized(kind)  # type: ignore[arg-type]
            wanted, _ = on_cpu(section, scorer, MASKED, [])
            outputs, _, _ = run(section, scorer)
            np.testing.assert_array_equal(outputs, wanted)
            assert (outputs != plain).any()
        lo, hi = windows()
        probe = _core_testing.probe_bin(section._scored, lo, hi, device="emulated", threads=2)["images"]
        np.testing.assert_array_equal(probe, _core.bin_images(section._scored, lo, hi, unmeasured=0.0))


def n_strips(n: int, batch: int, timings: dict) -> int:
    """The first strip is one batch, so that scoring starts early; each is at most twice the one before.

    At the end each is half of what is left, so that little is scored after the last one is read.
    """
    found, most = 0, batch
    while n > 0:
        most = min(most, timings["images_per_strip"])
        half = -(-n // 2)
        n, most, found = n - min(most, -(-half // batch) * batch), 2 * most, found + 1
    return found


@pytest.mark.parametrize("names", [list(STATISTICS), ["coverage"], ["chaos", "moran"]])
@pytest.mark.parametrize("preprocess_id", [MASKED, "p99-stretch-224"])
def test_statistics(file: Path, names: list[str], preprocess_id: str) -> None:
    scorer = HostScorer(16, 2 if preprocess_id == MASKED else 1, len(names))
    with imn.open(file, duplicates="sum") as ds:
        wanted, blank = on_cpu(ds, scorer, preprocess_id, names)
        outputs, found, _ = _core_testing.score_windows_on_device(
            ds._native,
            *windows(),
            scorer=scorer,
            preprocess_id=preprocess_id,
            statistics=names,
            device="emulated",
            pinned_memory=SMALL,
            seed=2,
        )
    np.testing.assert_array_equal(found, blank)
    # Moran's I and the blur add up in another order.
    np.testing.assert_allclose(outputs, wanted, rtol=1e-5, atol=1e-6)


def test_strips_of_data_that_stay_on_the_device(file: Path) -> None:
    """The more memory, the larger the strips: coarse steps of memory, and fine ones where the data begin to stay."""
    scorer = HostScorer(4, 2, 0)
    blocks: dict[int, int] = {}  # of the limits at which the data stay
    with imn.open(file, duplicates="sum") as ds:
        wanted, _, _ = run(ds, scorer)
        with pytest.raises(imn.ArgumentError, match="at least") as error:
            run(ds, scorer, device_memory=1000)
        least = int(str(error.value).split("at least ")[1].split()[0])

        def sweep(limits: range) -> None:
            for limit in limits:
                outputs, _, timings = run(ds, scorer, device_memory=limit)
                np.testing.assert_array_equal(outputs, wanted)
                if timings["resident"]:
                    blocks[limit] = timings["strips"]

        coarse = SMALL // 6
        sweep(range(least + SMALL // 2, least + 2 * SMALL, coarse))
        if blocks:
            sweep(range(min(blocks) - coarse, min(blocks), SMALL // 48))
    assert bool(blocks) == file.parent.name.startswith("zlib")
    ascending = [blocks[limit] for limit in sorted(blocks)]
    assert ascending == sorted(ascending, reverse=True)
    assert not blocks or len(set(ascending)) > 2, blocks


def run(ds: imn.Dataset, scorer: object, **options: object) -> tuple[np.ndarray, np.ndarray, dict]:
    options = {"preprocess_id": MASKED, "device": "emulated", "pinned_memory": SMALL // 10} | options
    return _core_testing.score_windows_on_device(ds._scored, *windows(), scorer=scorer, **options)


def test_limits(file: Path) -> None:
    scorer = HostScorer(4, 2, 0)
    with imn.open(file, duplicates="sum") as ds:
        wanted, _, _ = run(ds, scorer)
        with pytest.raises(
            imn.ArgumentError, match="device memory limit of 1000 bytes is too small; set it to at least"
        ) as error:
            run(ds, scorer, device_memory=1000)
        least = int(str(error.value).split("at least ")[1].split()[0])
        outputs, _, timings = run(ds, scorer, device_memory=least)
        np.testing.assert_array_equal(outputs, wanted)
        assert (timings["images_per_strip"], timings["batches_ahead"], timings["device_chunks"]) == (1, 1, 3)
        assert not timings["resident"]
        with pytest.raises(
            imn.ArgumentError, match="pinned memory limit of 100 bytes is too small; set it to"
        ) as error:
            run(ds, scorer, pinned_memory=100)
        least = int(str(error.value).split("at least ")[1].split()[0])
        np.testing.assert_array_equal(run(ds, scorer, pinned_memory=least)[0], wanted)


def test_the_memory_limit_is_kept(tmp_path: Path) -> None:
    """Also where little more than one image fits, and an image takes more than several batches."""
    side = 800
    specs = [Spec(at, at, [300.0], [1.0 + at]) for at in range(1, side + 1)]
    path = write_imzml(tmp_path / "large.imzML", specs)
    image = 4 * side * side
    found = set()
    with imn.open(path) as ds:

        def timings(device_memory: int) -> dict:
            return _core_testing.score_windows_on_device(
                ds._native,
                np.array([299.0]),
                np.array([301.0]),
                scorer=HostScorer(1, 1, 0),
                preprocess_id="p99-stretch-224",
                device="emulated",
                device_memory=device_memory,
                pinned_memory=SMALL,
            )[2]

        with pytest.raises(imn.ArgumentError, match="device memory limit") as error:
            timings(1000)
        least = int(str(error.value).split("at least ")[1].split()[0])
        for more in range(0, 4 * image, image // 3):
            ran = timings(least + more)
            assert image < ran["device_bytes"] <= least + more
            found.add((ran["batches_ahead"], ran["device_chunks"]))
    assert len(found) > 3


def test_with_more_memory_it_runs_further_ahead(file: Path) -> None:
    scorer = HostScorer(4, 2, 0)
    found = []
    with imn.open(file, duplicates="sum") as ds:
        wanted, _, most = run(ds, scorer, device_memory=400 * SMALL)
        for megabytes in (6, 8, 12, 20, 40):
            outputs, _, timings = run(ds, scorer, device_memory=megabytes * SMALL, seed=megabytes)
            np.testing.assert_array_equal(outputs, wanted)
            found.append(timings["batches_ahead"])
    assert (most["batches_ahead"], most["device_chunks"]) == (4, 0 if most["resident"] else 8)
    assert found == sorted(found)
    assert found[0] < 3


class StopError(Exception):
    """What a callback raises to end the loop."""


@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_exception_of_the_scorer_ends_the_loop(file: Path, after: int) -> None:
    scorer = HostScorer(4, 2, 0)
    enqueue = scorer.enqueue

    def fail(*addresses: int) -> None:
        if scorer.calls == after:
            raise StopError("the engine is gone")
        enqueue(*addresses)

    with imn.open(file, duplicates="sum") as ds:
        wanted, _, _ = run(ds, scorer)
        scorer.calls = 0
        scorer.enqueue = fail
        with pytest.raises(StopError, match="the engine is gone"):
            run(ds, scorer, seed=3)
        scorer.enqueue = enqueue
        np.testing.assert_array_equal(run(ds, scorer, seed=3)[0], wanted)


def test_an_exception_of_progress_ends_the_loop(file: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with imn.open(file, duplicates="sum") as ds, pytest.raises(KeyboardInterrupt):
        run(ds, HostScorer(4, 2, 0), progress=stop)


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    mz = np.sort(rng.uniform(200, 900, 300))
    bad = mz.copy()
    bad[100] = 850
    spectra = [Spec(k % 20 + 1, k // 20 + 1, bad if k == 333 else mz, rng.random(300)) for k in range(400)]
    path = write_imzml(tmp_path / "bad.imzML", spectra, shared_axis=False, spectrum_type="centroid")
    with imn.open(path) as ds, pytest.raises(imn.FileError, match=r"bad\.imzML: spectrum 333: its m/z values"):
        run(ds, HostScorer(4, 2, 0))


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u4", "i2"])
@pytest.mark.parametrize("mz_dtype", ["f4", "f8"])
@pytest.mark.parametrize("shared_axis", [True, False])
def test_types_of_a_file(tmp_path: Path, dtype: str, mz_dtype: str, shared_axis: bool, gap: int) -> None:
    """At addresses of any kind, with values that count as 0."""
    rng = np.random.default_rng(9)
    mz = np.sort(rng.uniform(200, 900, 300)).astype(mz_dtype)
    spectra = [Spec(k % 9 + 1, k // 9 + 1, mz, rng.exponential(size=300) * 12345.678) for k in range(81)]
    if dtype[0] == "f":
        for k in (0, 7, 80):
            spectra[k].intensity[rng.choice(300, 30)] = rng.choice([np.nan, np.inf, -np.inf], 30)
    if not shared_axis:
        spectra[3] = Spec(4, 1, [], [])
        spectra[5] = Spec(6, 1, mz[100:101], [1e6])
    path = write_imzml(
        tmp_path / "x.imzML",
        spectra,
        shared_axis=shared_axis,
        spectrum_type="centroid",
        intensity_dtype=dtype,
        mz_dtype=mz_dtype,
        ibd_gap=gap,
    )
    scorer = HostScorer(8, 2, 0)
    with imn.open(path) as ds:
        wanted, blank = on_cpu(ds, scorer, MASKED, [])
        warnings = ds.warnings
        assert len(warnings) == (dtype[0] == "f")
    with imn.open(path) as ds:
        outputs, found, timings = run(ds, scorer, seed=4)
        assert ds.warnings == warnings
    assert timings["strips"] > 3
    np.testing.assert_array_equal(found, blank)
    np.testing.assert_array_equal(outputs, wanted)


@pytest.mark.parametrize("mz_dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("at", "value"),
    [(0, np.nan), (0, -1), (0, 850), (70, 201), (70, np.nan), (151, 850), (299, 300), (299, np.nan), (299, np.inf)],
)
def test_m_z_values_outside_of_all_windows_are_checked(tmp_path: Path, at: int, value: float, mz_dtype: str) -> None:
    """With the message of the CPU's loop."""
    rng = np.random.default_rng(7)
    mz = np.sort(rng.uniform(200, 900, 300))
    bad = mz.copy()
    bad[at] = value
    spectra = [Spec(k % 20 + 1, k // 20 + 1, bad if k == 333 else mz, rng.random(300)) for k in range(400)]
    path = write_imzml(tmp_path / "bad.imzML", spectra, shared_axis=False, spectrum_type="centroid", mz_dtype=mz_dtype)
    lo = np.linspace(500, 600, 40)
    with imn.open(path) as ds, pytest.raises(imn.FileError, match="spectrum 333") as on_host:
        _core.bin_images(ds._native, lo, lo + 4)
    with imn.open(path) as ds:
        for _ in range(2):
            with pytest.raises(imn.FileError) as error:
                # Buffers of the default size take longer to make than the file to read.
                _core_testing.score_windows_on_device(
                    ds._native,
                    lo,
                    lo + 4,
                    scorer=HostScorer(4, 2, 0),
                    preprocess_id=MASKED,
                    device="emulated",
                    device_memory=40 * SMALL,
                    pinned_memory=SMALL,
                )
            assert str(error.value) == str(on_host.value)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shared_axis", [True, False])
def test_chunks_are_full(tmp_path: Path, shared_axis: bool, threads: int) -> None:
    """Whatever the number of threads: nothing is read twice, and few chunks hold it all."""
    rng = np.random.default_rng(12)
    axis = np.sort(rng.uniform(200, 900, 200))
    spectra = []
    for k in range(150 * 100):
        mz = axis if shared_axis else axis[:: 1 + k % 3]
        spectra.append(Spec(k % 150 + 1, k // 150 + 1, mz, rng.random(len(mz), dtype=np.float32)))
    path = write_imzml(tmp_path / "x.imzML", spectra, shared_axis=shared_axis)
    size = 4 * sum(len(spec.mz) for spec in spectra) * (1 if shared_axis else 3)
    lo = (axis[:-1] + axis[1:])[:160:4] / 2
    with imn.open(path) as ds:
        hi = np.append(lo[1:], 1000) - 1e-6
        lo[0] = 0
        for chunk in (1 << 18, 1 << 20):
            probe = _core.probe_read(ds._native, lo, hi, batch=10, pinned_memory=3 * chunk, threads=threads)
            tables = 4 * 15_000 * (12 if shared_axis else 20)
            # The bins of a strip begin at a whole tile.
            assert 0.99 * size < probe["bytes"] < (1.8 if shared_axis else 1.05) * (size + tables)
            assert probe["chunks"] <= probe["bytes"] / chunk * 1.03 + 4
            assert 0 < probe["first_chunk_s"] <= probe["seconds"]


@pytest.mark.parametrize("masked", [True, False])
def test_stack(masked: bool) -> None:
    rng = np.random.default_rng(8)
    images = rng.exponential(size=(53, 21, 30)).astype(np.float32)
    images[[0, 7, 8, 52]] = 3
    images[5, 3:9] = np.nan
    mask = (rng.random((21, 30)) < 0.8).astype(np.uint8) if masked else None
    scorer = HostScorer(8, 2, 0)
    native = _core.callback_scorer(scorer.outputs, 2, 224, 224, 7, 8)
    wanted, blank, _ = _core.score_stack(images, mask, scorer=native, preprocess_id=MASKED)
    outputs, found, timings = _core_testing.score_stack_on_device(
        images, mask, scorer=scorer, preprocess_id=MASKED, device="emulated", pinned_memory=40_000, seed=6
    )
    np.testing.assert_array_equal(found, blank)
    assert blank.sum() == 4
    np.testing.assert_array_equal(outputs, wanted)
    assert timings["chunks"] > 3
    none = _core_testing.score_stack_on_device(
        images[:0], mask, scorer=scorer, preprocess_id=MASKED, device="emulated", pinned_memory=40_000
    )
    assert none[0].shape == (0, 7)


def test_a_scorer_that_does_not_fit(file: Path) -> None:
    with imn.open(file, duplicates="sum") as ds:
        with pytest.raises(
            imn.ArgumentError,
            match="expects images of 1 x 224 x 224, but preprocessing 'p99-stretch-224-mask' makes 2 x 224",
        ):
            run(ds, HostScorer(4, 1, 0))
        with pytest.raises(imn.ArgumentError, match="expects images of 2 x 112 x 112"):
            run(ds, HostScorer(4, 2, 0, 112))
        with pytest.raises(imn.ArgumentError, match="expects 2 statistics per image, not 1"):
            run(ds, HostScorer(4, 2, 2), statistics=["moran"])
        wrong = HostScorer(4, 2, 0)
        wrong.input_dtype = "f64"
        with pytest.raises(imn.ArgumentError, match="f32, bf16, f16"):
            run(ds, wrong)
        with pytest.raises(imn.ArgumentError, match="needs a CUDA device, not 'cpu'"):
            _core.score_windows_on_device(
                ds._native, *windows(), scorer=HostScorer(4, 2, 0), preprocess_id=MASKED, device="cpu"
            )
        wrong = HostScorer(0, 2, 0)
        with pytest.raises(imn.ArgumentError, match="must be positive"):
            run(ds, wrong)
