"""Semi-synthetic images: real labelled images, reframed, altered and drowned in noise, as a source without end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.image_arrays import CLASS_STRUCTURE
from ionmorphnet.labelled.sources import Sample, Source
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.semi_synthetic import CleanScene, SemiSyntheticImage, degrade_scene, with_sample

# Share of scenes that begin with a real image of each class. Other classes are also made from structured images.
CLASS_SHARES = (0.48, 0.12, 0.15, 0.08, 0.08, 0.09)
_MIXED = 0.06
_UNSTRUCTURED = CLASSES.index("unstructured")
_KIND_OF_MIXED = frozenset({CLASSES.index("structured"), CLASSES.index("weak_structured"), CLASSES.index("localized")})


class SemiSyntheticSource:
    """Degraded real images with known labels; item ``i`` depends only on the seed, the sources and ``i``.

    The items ``levels * k`` to ``levels * k + levels - 1`` show one scene, the clearest first. Read them in sequence,
    so that each scene is made once. The dataset of an item is that of its real image, and noise only comes from images
    of the same sources, so a split by dataset keeps its meaning.
    """

    def __init__(
        self,
        base: Source,
        n: int,
        seed: int,
        *,
        levels: int = 2,
        sides: tuple[int, int] = (32, 192),
        noise_from: Source | None = None,
        class_shares: Sequence[float] = CLASS_SHARES,
    ) -> None:
        """Prepare the scenes; reads every image of the sources once.

        Args:
            base: Real labelled images.
            n: Number of images, rounded up to whole scenes.
            seed: Random seed, at least 0.
            levels: Noise levels per scene; 1: single images without pairs.
            sides: Smallest and largest side in pixels, geometric mean of height and width.
            noise_from: Images whose unstructured ones serve as noise; None: ``base``. Noise for an image comes from
                its dataset if that has unstructured images, otherwise from datasets with the same beginning
                (``source:``), otherwise from all.
            class_shares: Share of scenes that begin with a real image of each class; classes without images are left
                out.

        Raises:
            ArgumentError: ``base`` is empty, or a number is out of range.
        """
        if n < 1 or levels < 1 or seed < 0 or len(base) == 0:
            raise ArgumentError("n and levels must be at least 1 and seed at least 0, and base needs images")
        if len(class_shares) != len(CLASSES) or not all(math.isfinite(s) and s >= 0 for s in class_shares):
            raise ArgumentError(f"class_shares must hold {len(CLASSES)} shares, got {list(class_shares)}")
        self.base, self.noise_from = base, base if noise_from is None else noise_from
        self.seed, self.levels, self.sides = seed, levels, sides
        self.class_shares = tuple(float(s) for s in class_shares)
        self.n = math.ceil(n / levels) * levels
        self._sections: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        groups: dict[int, dict[str, list[int]]] = {}
        for index in range(len(base)):
            item = base[index]
            kind = _class_of(item)
            if kind is None or not item.mask.any():
                continue
            groups.setdefault(kind, {}).setdefault(item.dataset, []).append(index)
            if kind in _KIND_OF_MIXED:
                self._sections.setdefault((item.dataset, item.image.shape), []).append(index)
        if not groups or sum(self.class_shares[kind] for kind in groups) <= 0.0:
            raise ArgumentError("base has no image of a known class with a positive share")
        self._groups = {kind: [groups[kind][name] for name in sorted(groups[kind])] for kind in sorted(groups)}
        self._donors = _donors(self.noise_from)
        self._estimates: dict[int, Field | None] = {}  # by index; made when first used
        self._last: tuple[int, tuple[Sample, ...]] = (-1, ())

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of the base's sections."""
        return self.base.dataset_ids

    def __len__(self) -> int:
        """Number of images."""
        return self.n

    def __getitem__(self, index: int) -> Sample:
        """Make image ``index`` with its label and structure."""
        if not 0 <= index < self.n:
            raise IndexError(f"image {index} of {self.n}")
        scene, level = divmod(index, self.levels)
        if self._last[0] != scene:
            self._last = (scene, self._scene(scene))
        return self._last[1][level]

    def _scene(self, scene: int) -> tuple[Sample, ...]:
        rng = np.random.default_rng([self.seed, scene])
        kinds = list(self._groups)
        shares = np.array([self.class_shares[kind] for kind in kinds])
        datasets = self._groups[kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]]
        # A dataset counts by the root of its number of images: neither one per dataset nor all of the largest.
        sizes = np.sqrt([len(dataset) for dataset in datasets])
        dataset = datasets[int(rng.choice(len(datasets), p=sizes / sizes.sum()))]
        index = dataset[int(rng.integers(len(dataset)))]
        item = self.base[index]
        clean = _clean(item)
        if clean.sample is None:
            if index not in self._estimates:
                self._estimates[index] = with_sample(clean).sample
            clean = replace(clean, sample=self._estimates[index])
        images = degrade_scene(
            rng,
            clean,
            levels=self.levels,
            sides=self.sides,
            donor=self._donor(rng, item.dataset),
            partner=self._partner(rng, item),
        )
        return tuple(
            _sample(image, item, scene if self.levels > 1 else -1, f"{scene}.{level}")
            for level, image in enumerate(images)
        )

    def _donor(self, rng: np.random.Generator, dataset: str) -> Field | None:
        places = self._donors.get(dataset) or self._donors.get(_beginning(dataset)) or self._donors.get("")
        if not places:
            return None
        donor = self.noise_from[places[int(rng.integers(len(places)))]]
        image = np.where(donor.mask, donor.image, np.float32(np.nan))
        # Unmeasured pixels take values of measured ones, so that the noise has no outline.
        values = image[donor.mask]
        top = max(float(np.quantile(values, 0.99)), 0.0) or float(values.max(initial=0.0)) or 1.0
        filled = image.copy()
        missing = ~donor.mask
        filled[missing] = values[rng.integers(0, values.size, int(missing.sum()))]
        return np.clip(filled * np.float32(1.0 / top), 0.0, 2.0)

    def _partner(self, rng: np.random.Generator, item: Sample) -> CleanScene | None:
        if rng.random() >= _MIXED or _class_of(item) not in _KIND_OF_MIXED:
            return None
        places = self._sections[item.dataset, item.image.shape]
        other = self.base[places[int(rng.integers(len(places)))]]
        return None if other.key == item.key else _clean(other)

    def targets(self) -> None:
        """None: labels are known only when an image is made."""
        return None

    def select(self, datasets: Iterable[str]) -> SemiSyntheticSource:
        """Make images from some sections only; noise then only comes from these or from sections not in ``base``.

        Raises:
            ArgumentError: An id is unknown.
        """
        wanted = set(datasets)
        base = self.base.select(wanted)
        allowed = [name for name in self.noise_from.dataset_ids if name in wanted or name not in self.base.dataset_ids]
        noise = base if self.noise_from is self.base or not allowed else self.noise_from.select(allowed)
        return SemiSyntheticSource(
            base,
            self.n,
            self.seed,
            levels=self.levels,
            sides=self.sides,
            noise_from=noise,
            class_shares=self.class_shares,
        )

    def describe(self) -> dict[str, object]:
        """Describe kind, number of images, seed, levels, and the real images."""
        return {
            "kind": "semi-synthetic",
            "images": self.n,
            "seed": self.seed,
            "levels": self.levels,
            "sides": list(self.sides),
            "class_shares": list(self.class_shares),
            "base": self.base.describe(),
            "noise_images": sum(len(places) for name, places in self._donors.items() if name == ""),
        }

    def __repr__(self) -> str:
        """Show the number of images, seed, levels and base."""
        return f"SemiSyntheticSource({self.n} images, seed {self.seed}, {self.levels} levels, of {self.base!r})"


def _class_of(item: Sample) -> int | None:
    """Most probable class; None if unknown."""
    return None if np.isnan(item.probabilities).any() else int(item.probabilities.argmax())


def _clean(item: Sample) -> CleanScene:
    grade = item.structure
    if math.isnan(grade):
        grade = float(item.probabilities @ np.array([CLASS_STRUCTURE[name] for name in CLASSES]))
    image = np.where(item.mask, item.image, np.float32(np.nan))
    return CleanScene(image, item.probabilities, grade, item.sample)


def _sample(image: SemiSyntheticImage, item: Sample, scene: int, key: str) -> Sample:
    return Sample(
        image.image,
        image.mask,
        image.probabilities,
        image.structure,
        item.dataset,
        f"{item.key} {key} {'+'.join(image.changes)}".rstrip(),
        scene,
        image.sample,
    )


def _beginning(dataset: str) -> str:
    """Source of a dataset ``source:section``, with the colon; the empty string, which stands for all, without one."""
    return dataset[: dataset.index(":") + 1] if ":" in dataset else ""


def _donors(source: Source) -> dict[str, list[int]]:
    """Indices of the unstructured images by dataset, by source, and (empty string) of all."""
    found: dict[str, list[int]] = {}
    for index in range(len(source)):
        item = source[index]
        if _class_of(item) != _UNSTRUCTURED or float(np.nanstd(np.where(item.mask, item.image, np.nan))) <= 0.0:
            continue
        for name in {item.dataset, _beginning(item.dataset), ""}:
            found.setdefault(name, []).append(index)
    return found
