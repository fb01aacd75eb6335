"""Sample maps of the sections of a corpus, made from their labelled images."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.labelled.corpus import Corpus
from ionmorphnet.reference.sample_map import sample_map

Float32 = NDArray[np.float32]
Shape = tuple[int, int]


def with_sample_maps(corpus: Corpus) -> Corpus:
    """Give each image the sample map of its section, as far as the images of the section can tell.

    Images of a section may differ in resolution. They are compared in the most frequent size, the larger one if two
    are equally frequent; the map is then resized to each image.

    Args:
        corpus: The images. Sections that are divided between corpora lose evidence, so make the maps before selecting.

    Returns:
        The same images with maps. Images of unknown section, and sections with too few images, have none.
    """
    sections: dict[str, list[int]] = {}
    for k, item in enumerate(corpus.items):
        if item.section:
            sections.setdefault(item.section, []).append(k)
    maps: dict[int, Float32] = {}
    for where in sections.values():
        images = [corpus[k].image for k in where]
        found = section_map(images)
        if found is None:
            continue
        for k, image in zip(where, images, strict=True):
            own = enlarged(found, (image.shape[0], image.shape[1]))
            maps[corpus.items[k].number] = np.where(np.isnan(image), np.float32(0), own)
    return corpus.with_maps(maps)


def section_map(images: list[Float32]) -> Float32 | None:
    """Make the sample map of images of one section in one frame, float32 in their most frequent size.

    Args:
        images: float32 (H, W), NaN = not measured; sizes may differ.

    Returns:
        The map; None if the images cannot tell.
    """
    counts = Counter((image.shape[0], image.shape[1]) for image in images)
    shape = max(counts, key=lambda each: (counts[each], each))
    return sample_map(np.stack([averaged(image, shape) for image in images]))


def averaged(image: Float32, shape: Shape) -> Float32:
    """Resize an image to ``shape``: the mean of the measured pixels that fall on each new pixel.

    Where the new pixels are smaller, values are repeated.
    """
    if image.shape == shape:
        return image
    out = image.astype(np.float64)
    weight = (~np.isnan(out)).astype(np.float64)
    out = np.nan_to_num(out)
    for axis, size in enumerate(shape):
        old = out.shape[axis]
        # A smaller size: source pixels are assigned to new ones and summed. A larger one: they are repeated.
        if size <= old:
            starts = -(-np.arange(size) * old // size)
            out, weight = (np.add.reduceat(each, starts, axis=axis) for each in (out, weight))
        else:
            index = ((np.arange(size) + 0.5) * old / size).astype(np.int64)
            out, weight = (np.take(each, index, axis=axis) for each in (out, weight))
    result: Float32 = np.where(weight > 0, out / np.maximum(weight, 1.0), np.nan).astype(np.float32)
    return result


def enlarged(values: Float32, shape: Shape) -> Float32:
    """Resize a map to ``shape`` by linear interpolation between pixel centres."""
    out = values.astype(np.float64)
    for axis, size in enumerate(shape):
        old = out.shape[axis]
        position = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0.0, old - 1.0)
        low = np.minimum(position.astype(np.int64), max(old - 2, 0))
        share = (position - low).reshape((-1, 1) if axis == 0 else (1, -1))
        after = np.minimum(low + 1, old - 1)
        out = np.take(out, low, axis=axis) * (1.0 - share) + np.take(out, after, axis=axis) * share
    return out.astype(np.float32)
