"""Fingerprints of training data: to resume on the same images, and to find images used twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.image_arrays import LabelledImages
from ionmorphnet.labelled.joined_source import JoinedSource
from ionmorphnet.labelled.sources import Sample, Source
from ionmorphnet.training.mixture import MixedSource

# Number of images hashed of a custom source, whose images may be made on demand.
_SAMPLED = 64
# Images with fewer nonzero pixels may be equal by chance.
_MIN_NONZERO = 10


def fingerprint(source: Source) -> str:
    """Hash the content of a source: images, labels, shares and seeds.

    For sources read from files, all images are hashed; for others, the description, the labels and up to 64 images.
    """
    found = hashlib.blake2b(digest_size=16)
    for part in _facts(source):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()


def _facts(source: Source) -> Iterator[bytes]:
    if isinstance(source, (JoinedSource, MixedSource)):
        if isinstance(source, MixedSource):
            yield json.dumps([len(source), source.seed, source.block, source.shares.tolist()]).encode()
        for part in source.sources:
            yield fingerprint(part).encode()
        return
    yield json.dumps(source.describe(), sort_keys=True, default=str).encode()
    if isinstance(source, LabelledImages):
        for k, item in enumerate(source.items):
            yield _label_bytes(item.dataset, item.key, item.probabilities, item.structure)
            yield source.digest(k).encode()
        return
    targets = source.targets()
    if targets is None:
        return  # made on demand; the description contains the seed
    yield np.ascontiguousarray(targets).tobytes()
    for k in np.unique(np.linspace(0, len(source) - 1, _SAMPLED).astype(int)).tolist():
        sample: Sample = source[k]
        yield _label_bytes(sample.dataset, sample.key, sample.probabilities, sample.structure)
        yield repr(sample.image.shape).encode() + np.ascontiguousarray(sample.image).tobytes()


def _label_bytes(dataset: str, key: str, probabilities: NDArray[np.float32], structure: float) -> bytes:
    return json.dumps([dataset, key, probabilities.tolist(), repr(float(structure))]).encode()


def refuse_shared_images(training: Source, validation: Source) -> None:
    """Check that no image is in both the training and the validation set; only images from files are compared.

    Images with fewer than ten nonzero pixels are ignored, because they may be equal by chance.

    Raises:
        ArgumentError: An image is in both sets.
    """
    known = {images.digest(k): images.items[k] for images, k in _file_images(training)}
    for images, k in _file_images(validation):
        twin = known.get(images.digest(k))
        if twin is None or np.count_nonzero(images[k].image > 0) < _MIN_NONZERO:
            continue
        item = images.items[k]
        raise ArgumentError(
            f"image {item.key} of '{item.dataset}', held out for validation, equals training image {twin.key} of "
            f"'{twin.dataset}', which would bias the validation; leave one of them out, or hold out both"
        )


def _file_images(source: Source) -> Iterator[tuple[LabelledImages, int]]:
    if isinstance(source, JoinedSource):
        for part in source.sources:
            yield from _file_images(part)
    elif isinstance(source, LabelledImages):
        yield from ((source, k) for k in range(len(source)))
