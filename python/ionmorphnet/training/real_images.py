"""Training on real images: simulated images first, then a mixture of real, semi-synthetic and simulated ones."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.corpus import Corpus
from ionmorphnet.labelled.semi_synthetic import SemiSyntheticSource
from ionmorphnet.labelled.sources import SimulatedSource, Source
from ionmorphnet.labelled.visible import VisibleSource
from ionmorphnet.training.balanced import BalancedSource
from ionmorphnet.training.fit import LEVELS
from ionmorphnet.training.mixture import MixedSource
from ionmorphnet.training.recipe import Phase, Recipe

# Seeds of the parts of a mixture, added to the recipe's: no part repeats what the first stage has seen.
_REAL, _SEMI, _SIMULATED = 1, 2, 3
# Share of real images with a dark border that are put into a larger frame.
_PADDED = 0.3


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Share of each kind of image in the second stage; a share of 0 leaves the kind out.

    Attributes:
        real: Labelled real images, drawn so that sources and classes weigh more equally.
        semi_synthetic: Real images, degraded in known ways.
        simulated: Simulated images.
    """

    real: float = 0.35
    semi_synthetic: float = 0.35
    simulated: float = 0.3

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            ArgumentError: A share is negative or not finite, or all are 0.
        """
        values = asdict(self).values()
        if not all(math.isfinite(value) and value >= 0.0 for value in values) or sum(values) <= 0.0:
            raise ArgumentError(f"shares must be at least 0 and one of them above 0, got {asdict(self)}")


def mixture(corpus: Corpus, n: int, seed: int, shares: Shares | None = None) -> MixedSource:
    """Mix the images of the second stage.

    Args:
        corpus: Real images to train on, with their sample maps. No other real image is used.
        n: Number of images.
        seed: Seed of the training.
        shares: Share of each kind; None: the defaults.

    Raises:
        ArgumentError: ``n`` or ``seed`` is out of range, or the corpus is empty.
    """
    shares = Shares() if shares is None else shares
    parts: list[tuple[float, Source]] = []
    if shares.real:
        parts.append((shares.real, BalancedSource(corpus, n, seed + _REAL, padded=_PADDED)))
    if shares.semi_synthetic:
        semi = SemiSyntheticSource(corpus, n, seed + _SEMI, levels=LEVELS)
        parts.append((shares.semi_synthetic, VisibleSource(semi)))
    if shares.simulated:
        parts.append((shares.simulated, VisibleSource(SimulatedSource(n, seed + _SIMULATED, levels=LEVELS))))
    return MixedSource([source for _, source in parts], [share for share, _ in parts], n, seed, block=LEVELS)


def simulated_stage(recipe: Recipe, *, size: int, images: int, batch: int = 32) -> Recipe:
    """Return the recipe of the first stage, from random weights on simulated images only."""
    return replace(recipe, phases=(Phase(size, images, batch),), learning_rate=1.5e-3, augmentation="turns")


def real_stage(recipe: Recipe, *, images: int) -> Recipe:
    """Return the recipe of the second stage, which starts from the weights of the first.

    Args:
        recipe: Recipe of the first stage.
        images: Number of images.
    """
    phase = recipe.phases[-1]
    return replace(
        recipe,
        phases=(replace(phase, images=images),),
        learning_rate=6e-4,
        warmup=0.08,
        ema_decay=0.985,
        augmentation="mild",
        drop_path=0.05,
    )
