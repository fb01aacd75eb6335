"""The native preprocessing against its numpy specification and against torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.preprocessing import Preprocessing, Resize
from ionmorphnet.reference import preprocess as reference

IDS = ["p99-stretch-224", "p99-stretch-224-mask"]
RESIZES: list[Resize] = ["stretch", "area"]
SIZES = [(1, 1), (1, 2), (1, 37), (41, 1), (2, 3), (13, 7), (50, 50), (134, 260), (224, 224), (225, 223), (500, 300)]
KINDS = ["exponential", "sparse", "single", "constant", "zero", "negative", "signed", "ties", "tiny", "huge"]


def make_image(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    dense = rng.exponential(size=shape)
    image = {
        "exponential": dense,
        "sparse": np.where(rng.random(shape) < 0.015, dense, 0),
        "single": np.zeros(shape),
        "constant": np.full(shape, 3.7),
        "zero": np.zeros(shape),
        "negative": -dense,
        "signed": rng.normal(size=shape),
        "ties": rng.integers(0, 4, shape),
        "tiny": dense * 1e-9,
        "huge": dense * 1e37,
    }[kind].astype(np.float32)
    if kind == "single":
        image.flat[image.size // 2] = 5
    return image


def torch_preprocess(image: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="compares with torch, of the extra [train]")
    x = torch.from_numpy(image)
    x = (x / torch.quantile(x.flatten(), 0.99).clamp(min=1e-6)).clamp(0, 1)[None, None]
    kwargs = {"mode": "bilinear", "align_corners": False, "antialias": False}
    return torch.nn.functional.interpolate(x, (224, 224), **kwargs)[0].numpy()


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_torch(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    image = make_image(kind, shape, rng)
    expected = torch_preprocess(image)
    np.testing.assert_allclose(reference.preprocess(image[None], IDS[0])[0], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(_core.preprocess(image[None], IDS[0])[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 101, 2048, 2049, 34_840, 50_000, 150_000])
def test_reference_quantile_equals_torch(n: int, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with torch, of the extra [train]")
    values = rng.lognormal(sigma=2, size=n).astype(np.float32)
    expected = torch.quantile(torch.from_numpy(values), 0.99).item()
    assert reference.quantile99(values) == pytest.approx(expected, rel=2e-7)


@pytest.mark.parametrize("preprocess_id", IDS)
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_reference_with_unmeasured_pixels(
    kind: str, shape: tuple[int, int], preprocess_id: str, rng: np.random.Generator
) -> None:
    images = np.stack([make_image(kind, shape, rng) for _ in range(3)])
    images[rng.random(images.shape) < 0.1] = np.nan
    images[2] = np.nan
    for mask in (None, rng.random(shape) < 0.6, np.zeros(shape, bool)):
        expected = reference.preprocess(images, preprocess_id, mask)
        got = _core.preprocess(images, preprocess_id, mask)
        assert got.dtype == np.float32
        assert got.shape == (3, _core.preprocess_channels(preprocess_id), 224, 224)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", SIZES)
def test_all_sizes_and_channels_equal_the_reference(
    shape: tuple[int, int], resize: Resize, rng: np.random.Generator
) -> None:
    images = np.stack([make_image(kind, shape, rng) for kind in ("exponential", "sparse", "signed", "exponential")])
    images[1][rng.random(shape) < 0.1] = np.nan
    images[3] = np.nan
    for k, flags in enumerate(itertools.product((False, True), repeat=3)):
        preprocess_id = str(Preprocessing(resize, (32, 112, 240)[k % 3], *flags))
        for mask in (None, rng.random(shape) < 0.6):
            for sample in (None, rng.random(shape).astype(np.float32)):
                expected = reference.preprocess(images, preprocess_id, mask, sample)
                got = _core.preprocess(images, preprocess_id, mask, sample)
                assert got.max() <= 1
                np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_an_unknown_sample_map_is_one_half_everywhere(rng: np.random.Generator) -> None:
    images = rng.exponential(size=(2, 30, 40)).astype(np.float32)
    images[1] = np.nan
    for function in (_core.preprocess, reference.preprocess):
        assert (function(images, "p99-area-32-mask-sample")[:, 2] == 0.5).all()


def test_the_channels_are_in_order(rng: np.random.Generator) -> None:
    """At the size of the image nothing is resized."""
    image = rng.exponential(size=(48, 48)).astype(np.float32)
    mask, sample = rng.random(image.shape) < 0.7, rng.random(image.shape).astype(np.float32)
    clipped = np.clip(np.where(mask, image, 0) / reference.quantile99(image[mask]), 0, 1)
    for resize in RESIZES:
        got = _core.preprocess(image[None], f"p99-{resize}-48-mask-sqrt-sample", mask, sample)[0]
        for channel, expected in zip(got, (clipped, mask, np.sqrt(clipped), sample), strict=True):
            np.testing.assert_allclose(channel, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [32, 112, 224])
@pytest.mark.parametrize("shape", [(134, 260), (500, 300), (20, 400), (225, 113), (40, 60)])
def test_area_is_the_antialiased_resize_of_torch(shape: tuple[int, int], size: int, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with torch, of the extra [train]")
    image = rng.random(shape, dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], (size, size), mode="bilinear", align_corners=False, antialias=True
    )[0, 0].numpy()
    np.testing.assert_allclose(reference.resize_area(image, size), expected, rtol=0, atol=5e-5)


def test_area_changes_nothing_where_images_grow(rng: np.random.Generator) -> None:
    images = rng.exponential(size=(3, 60, 112)).astype(np.float32)
    sample = rng.random((60, 112)).astype(np.float32)
    stretch, area = (_core.preprocess(images, f"p99-{name}-112-mask-sqrt-sample", None, sample) for name in RESIZES)
    np.testing.assert_array_equal(area, stretch)


@pytest.mark.parametrize("preprocess_id", IDS)
@pytest.mark.parametrize("share", [0.005, 0.02, 0.6, 1.0])
def test_infinite_values_count_as_largest(share: float, preprocess_id: str, rng: np.random.Generator) -> None:
    images = rng.exponential(size=(2, 224, 224)).astype(np.float32)  # not resized: single pixels can be looked up
    infinite = rng.random(images.shape) < share
    images[infinite] = np.inf
    images[1] *= -1
    got = _core.preprocess(images, preprocess_id)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, reference.preprocess(images, preprocess_id), rtol=0, atol=1e-6)
    assert (got[0, 0][infinite[0]] == 1).all()
    assert (got[1, 0] == 0).all()


def test_quantile_between_extremes_stays_a_number() -> None:
    image = np.array([[[-np.inf, np.inf]]], np.float32)
    for got in (_core.preprocess(image, IDS[1]), reference.preprocess(image, IDS[1])):
        np.testing.assert_array_equal(got[0, 0, :, [0, -1]], np.repeat([[0], [1]], 224, axis=1))


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_adverse_order_of_pixels(shape: tuple[int, int], rng: np.random.Generator) -> None:
    """The selection starts from a sample of pixels; sorted and striped images must not mislead it."""
    values = np.sort(rng.lognormal(sigma=3, size=shape[0] * shape[1])).astype(np.float32)
    striped = np.zeros(shape, np.float32)
    striped[:, ::30] = rng.random((shape[0], striped[:, ::30].shape[1]))
    images = np.stack([values.reshape(shape), values[::-1].reshape(shape), striped])
    got = _core.preprocess(images, IDS[0])
    np.testing.assert_allclose(got, reference.preprocess(images, IDS[0]), rtol=0, atol=1e-6)


def test_threads_and_position_in_the_stack_do_not_matter(rng: np.random.Generator) -> None:
    images = rng.exponential(size=(37, 30, 41)).astype(np.float32)
    one = _core.preprocess(images, IDS[1], threads=1)
    np.testing.assert_array_equal(_core.preprocess(images, IDS[1], threads=3), one)
    np.testing.assert_array_equal(_core.preprocess(images[20:22], IDS[1], threads=1), one[20:22])


def test_other_dtypes_and_layouts_are_converted(rng: np.random.Generator) -> None:
    images = rng.integers(0, 1000, (4, 20, 30))
    expected = _core.preprocess(images.astype(np.float32), IDS[0])
    np.testing.assert_array_equal(_core.preprocess(images, IDS[0]), expected)
    np.testing.assert_array_equal(_core.preprocess(np.asfortranarray(images.astype(np.float64)), IDS[0]), expected)


def test_empty_stack_gives_an_empty_result() -> None:
    assert _core.preprocess(np.zeros((0, 5, 6), np.float32), IDS[0]).shape == (0, 1, 224, 224)


@pytest.mark.parametrize(
    ("images", "preprocess_id", "mask", "message"),
    [
        (np.zeros((2, 3), np.float32), IDS[0], None, "shape"),
        (np.zeros((1, 0, 3), np.float32), IDS[0], None, "at least one pixel"),
        (np.zeros((1, 2, 3), np.float32), IDS[0], np.ones((3, 2), bool), "mask"),
        (np.zeros((1, 2, 3), np.float32), "p98", None, "p99-stretch-224-mask"),
    ],
)
def test_bad_arguments(images: np.ndarray, preprocess_id: str, mask: np.ndarray | None, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        _core.preprocess(images, preprocess_id, mask)


def test_unknown_id_has_no_channels() -> None:
    with pytest.raises(ArgumentError, match="p99-stretch-224"):
        _core.preprocess_channels("stretch")
