"""Sample maps of the sections of a corpus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ionmorphnet.labelled.corpus import Corpus, CorpusImage
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.label_csv import LabelReport, one_hot
from ionmorphnet.labelled.section_maps import averaged, enlarged, section_map, with_sample_maps


def disc(shape: tuple[int, int]) -> np.ndarray:
    """A sample at the left of the frame, bool (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y + 0.5) / shape[0] - 0.5) ** 2 + ((x + 0.5) / shape[1] - 0.4) ** 2 < 0.3**2


def ion_image(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Texture on the sample that differs with the seed, and little noise off it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    texture = 1.5 + np.sin(y / shape[0] * 5 + seed) + np.cos(x / shape[1] * 7 * (1 + seed % 3))
    image = np.where(disc(shape), np.maximum(texture, 0.3), 0.05) + 0.1 * rng.random(shape)
    return image.astype(np.float32)


def corpus_of(shapes: list[tuple[int, int]], sections: list[str]) -> Corpus:
    store, items = ImageStore(10**8), []
    for k, (shape, section) in enumerate(zip(shapes, sections, strict=True)):
        number = store.add(ion_image(shape, k))
        item = CorpusImage("s", str(k), one_hot(0), 3.0, number, (0, 0), source="s", picture=str(k), section=section)
        items.append(replace(item, specimen=section or str(k)))
    return Corpus(store, items, LabelReport())


def test_images_of_a_section_share_its_map_in_their_own_size() -> None:
    shapes = [(48, 60)] * 4 + [(24, 30), (96, 120), (48, 60)]
    corpus = corpus_of(shapes, ["p"] * 6 + [""])
    mapped = with_sample_maps(corpus)
    assert [sample.sample is None for sample in mapped] == [False] * 6 + [True]
    for k in range(6):
        found = mapped[k].sample
        assert found is not None
        assert found.shape == shapes[k]
        assert found.dtype == np.float32
        inside = disc(shapes[k])
        assert found[inside].mean() > 0.75
        assert found[~inside].mean() < 0.35
    # The images themselves are unchanged.
    np.testing.assert_array_equal(mapped[5].image, corpus[5].image)


def test_maps_are_zero_where_not_measured_and_missing_for_small_sections() -> None:
    corpus = corpus_of([(48, 60)] * 5, ["p"] * 3 + ["q"] * 2)
    store, items = ImageStore(10**8), []
    for k, item in enumerate(corpus.items):
        image = corpus[k].image.copy()
        image[:5] = np.nan
        items.append(replace(item, number=store.add(image)))
    mapped = with_sample_maps(Corpus(store, items, LabelReport()))
    assert mapped[0].sample is not None
    assert (mapped[0].sample[:5] == 0).all()
    assert (mapped[0].sample[5:] > 0).any()
    assert mapped[3].sample is None  # two images cannot tell
    assert section_map([ion_image((48, 60), 0)]) is None


def test_averaged_images_keep_the_mean_of_measured_pixels() -> None:
    image = np.arange(24, dtype=np.float32).reshape(4, 6)
    image[0, 0] = np.nan
    small = averaged(image, (2, 3))
    np.testing.assert_allclose(small[0, 0], np.mean([1.0, 6.0, 7.0]))
    np.testing.assert_allclose(small[1, 2], np.mean([16.0, 17.0, 22.0, 23.0]))
    image[:2, :2] = np.nan
    assert np.isnan(averaged(image, (2, 3))[0, 0])
    large = averaged(small, (4, 3))
    np.testing.assert_array_equal(large[::2], small)
    np.testing.assert_array_equal(large[1::2], small)
    # Uneven sizes: every source pixel counts once.
    odd = averaged(np.ones((7, 5), np.float32), (3, 5))
    np.testing.assert_array_equal(odd, np.ones((3, 5)))
    assert averaged(image, (4, 6)) is image


@pytest.mark.parametrize("shape", [(4, 6), (8, 3), (2, 12)])
def test_enlarged_maps_follow_a_ramp(shape: tuple[int, int]) -> None:
    ramp = np.broadcast_to((np.arange(6) + 0.5) / 6, (4, 6)).astype(np.float32)
    found = enlarged(ramp, shape)
    expected = np.clip((np.arange(shape[1]) + 0.5) / shape[1], 0.5 / 6, 5.5 / 6)
    np.testing.assert_allclose(found, np.broadcast_to(expected, shape), atol=1e-6)
    np.testing.assert_array_equal(enlarged(np.full((1, 1), 0.3, np.float32), shape), np.float32(0.3))
