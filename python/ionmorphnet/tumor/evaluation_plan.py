"""Settings of an evaluation, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.normalization import NORMALIZATIONS
from ionmorphnet.tumor.baselines import BASELINES, CLASSIFIERS, DEFAULT_METHOD, parse_method
from ionmorphnet.tumor.patches import FEATURES
from ionmorphnet.tumor.posteriors import checked_posteriors
from ionmorphnet.tumor.recipe import PatchRecipe
from ionmorphnet.tumor.selection import SELECTIONS, wanted_selection
from ionmorphnet.tumor.splits import BY, PROTOCOLS
from ionmorphnet.tumor.standardization import DEFAULT_STANDARDIZATION, checked_standardization

NETWORK_METHODS = (*(f"cnn1d{feature}" for feature in FEATURES), "cnn3d")
METHODS = (*BASELINES, *NETWORK_METHODS)
SIZE, STEPS = 9, 200
# One classifier of each kind on what is usually best for it, two on single spectra, and one without texture.
DEFAULT_METHODS = ("lda", *(f"{name}-texture" for name in CLASSIFIERS), "lda-meanstd", "cnn1d", "cnn3d")


@dataclass(frozen=True)
class EvaluationPlan:
    """Settings of an evaluation, written to ``plan.json``.

    Attributes:
        selections: Channel selections on which all ``methods`` are evaluated. Empty: ``picked``, or ``all`` if channels
            are given and neither ``ablation`` nor ``top`` is set.
        ablation: Further selections with the same number of channels (``all``: every channel), evaluated with
            ``ablation_methods`` only.
        methods: Names from ``METHODS``: a classifier, and ``-mean``, ``-meanstd`` or ``-texture`` if it sees the mean,
            mean and standard deviation, or mean and texture around a pixel instead of the pixel's own spectrum.
        ablation_methods: Methods of the ablation.
        top: Number of channels of a selection; None: 40.
        normalize: Norm of the intensities, see :func:`~ionmorphnet.tumor.cubes.open_cubes`.
        standardize: How each channel of each section is standardised, see
            :func:`~ionmorphnet.tumor.standardization.standardize_section`.
        adapt: Adaptations of each method's probabilities to the section, see
            :func:`~ionmorphnet.tumor.posteriors.change_posteriors`; each one is a row of the table.
        smooth: Smoothings of the probabilities; every pair of adaptation and smoothing is a row.
        size: Side of a patch in pixels, odd.
        steps: Optimiser steps of a network.
        recipe: Further fields of :class:`~ionmorphnet.tumor.recipe.PatchRecipe`.
        protocol: ``leave-one-out`` or ``k-fold``.
        by: ``patient`` or ``section``.
        k: Number of folds of ``k-fold``.
        inner: Whether a patient is held out of each training set for early stopping of the networks.
        blocks: Cuts each section into (rows, columns) blocks that count as patients; None: sections stay whole.
        buffer: Width in pixels of the unlabelled strip along inner borders of blocks; None: half a patch.
        seed: Seed of folds, draws, networks and the random selection.
        threads: CPU threads; 0: all cores. The last bits of the networks' weights depend on it.
    """

    selections: tuple[str, ...] = ()
    ablation: tuple[str, ...] = ()
    methods: tuple[str, ...] = DEFAULT_METHODS
    ablation_methods: tuple[str, ...] = (DEFAULT_METHOD, "cnn3d")
    top: int | None = None
    normalize: str = "tic"
    standardize: str = DEFAULT_STANDARDIZATION
    adapt: tuple[str, ...] = ("none",)
    smooth: tuple[str, ...] = ("none",)
    size: int = SIZE
    steps: int = STEPS
    recipe: dict[str, Any] = field(default_factory=dict)
    protocol: str = "leave-one-out"
    by: str = "patient"
    k: int = 5
    inner: bool = True
    blocks: tuple[int, int] | None = None
    buffer: int | None = None
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ArgumentError: A name is unknown, or a number is out of range.
        """
        for what, known, given in (
            ("methods", METHODS, (*self.methods, *self.ablation_methods)),
            ("channels", SELECTIONS, (*self.selections, *self.ablation)),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ArgumentError(f"{what} must be among {', '.join(known)}, not '{unknown[0]}'")
        if not self.methods:
            raise ArgumentError("methods is empty; name at least one")
        if not self.adapt or not self.smooth:
            raise ArgumentError("adapt and smooth must hold at least one name each, such as 'none'")
        for adapt, smooth in product(self.adapt, self.smooth):
            checked_posteriors(adapt, smooth)
        checked_standardization(self.standardize)
        for name, known in (("protocol", PROTOCOLS), ("by", BY), ("normalize", NORMALIZATIONS)):
            if getattr(self, name) not in known:
                raise ArgumentError(f"{name} must be one of {', '.join(known)}, not '{getattr(self, name)}'")
        if self.size < 1 or self.size % 2 == 0:
            raise ArgumentError(f"size must be odd and positive, not {self.size}")
        thread_count(self.threads)
        if self.steps < 1 or (self.top is not None and self.top < 1):
            raise ArgumentError("top and steps must be at least 1")
        if self.k < 2:
            raise ArgumentError(f"k must be at least 2, not {self.k}")
        if self.blocks is not None and (len(self.blocks) != 2 or min(self.blocks) < 1):
            raise ArgumentError(f"blocks must be two positive numbers, rows and columns, not {self.blocks}")
        if self.blocks is not None and self.buffer is not None and self.buffer < self.size // 2:
            raise ArgumentError(
                f"buffer must be at least {self.size // 2} pixels, half a patch of {self.size}, not {self.buffer}"
            )
        if not 0 <= self.seed < 1 << 31:
            raise ArgumentError(f"seed must be from 0 to {(1 << 31) - 1}, not {self.seed}")
        for method in self.networks():
            # Channels and classes are not known yet, so placeholders stand in; everything else is checked.
            network = parse_method(method)[0]
            size = 1 if network == "cnn1d" else self.size
            entries = {"network": network, "channels": 1, "classes": 2, "size": size, "steps": self.steps}
            taken = sorted({"channels", "classes", "data", "network", "seed", "size", "steps"} & set(self.recipe))
            if taken:
                raise ArgumentError(f"recipe must not set {', '.join(taken)}; the plan or the cohort determines them")
            PatchRecipe.from_dict({**entries, **self.recipe})

    def tasks(self) -> list[tuple[str, str]]:
        """Every pair (selection, method) once, in order."""
        first = [(selection, method) for selection in self.selections for method in self.methods]
        more = [(selection, method) for selection in self.ablation for method in self.ablation_methods]
        return list(dict.fromkeys([*first, *more]))

    def networks(self) -> list[str]:
        """The networks among the methods."""
        used = [*self.methods, *(self.ablation_methods if self.ablation else ())]
        return [method for method in NETWORK_METHODS if method in used]

    def resolved(self, *, given: bool) -> EvaluationPlan:
        """Fills in the default selections and number of channels.

        Args:
            given: Whether the user gives channels.
        """
        named = self.selections or (("picked",) if self.ablation else ())
        selections, top = wanted_selection(named, self.top, given)
        return replace(self, selections=selections, top=top)
