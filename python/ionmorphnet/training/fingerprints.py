"""What a training learns from: by which a resumed training knows its images, and images of both sides are found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.image_arrays import LabelledImages
from ionmorphnet.labelled.joined_source import JoinedSource
from ionmorphnet.labelled.sources import Sample, Source
from ionmorphnet.training.mixture import MixedSource

# Of a source of one's own, whose images may be made on demand.
_LOOKED_AT = 64
# Images of fewer pixels with signal may be alike by chance.
_FEWEST_LIT = 10


def fingerprint(source: Source) -> str:
    """Hash of what a source gives: images, labels, shares, seeds.

    All images of files count; of other sources their description, their labels and up to 64 images.
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
            yield _told(item.dataset, item.key, item.probabilities, item.structure)
            yield source.digest(k).encode()
        return
    targets = source.targets()
    if targets is None:
        return  # made on demand: the description has the seed
    yield np.ascontiguousarray(targets).tobytes()
    for k in np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).astype(int)).tolist():
        sample: Sample = source[k]
        yield _told(sample.dataset, sample.key, sample.probabilities, sample.structure)
        yield repr(sample.image.shape).encode() + np.ascontiguousarray(sample.image).tobytes()


def _told(dataset: str, key: str, probabilities: np.ndarray, structure: float) -> bytes:
    return json.dumps([dataset, key, probabilities.tolist(), repr(float(structure))]).encode()


def refuse_shared_images(training: Source, validation: Source) -> None:
    """Refuses an image that is trained on and judged by; seen where both come from files.

    Images of fewer than ten pixels with signal do not count: they may be alike by chance.

    Raises:
        ArgumentError: There is one.
    """
    known = {images.digest(k): images.items[k] for images, k in _of_files(training)}
    for images, k in _of_files(validation):
        twin = known.get(images.digest(k))
        if twin is None or np.count_nonzero(images[k].image > 0) < _FEWEST_LIT:
            continue
        item = images.items[k]
        raise ArgumentError(
            f"image {item.key} of '{item.dataset}', held out for validation, is image {twin.key} of '{twin.dataset}', "
            "which is trained on: the figures would leak; leave one of them out, or hold out both"
        )


def _of_files(source: Source) -> Iterator[tuple[LabelledImages, int]]:
    if isinstance(source, JoinedSource):
        for part in source.sources:
            yield from _of_files(part)
    elif isinstance(source, LabelledImages):
        yield from ((source, k) for k in range(len(source)))
