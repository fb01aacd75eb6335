"""What an evaluation does, as plain values that are checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.tumor.baselines import BASELINES
from ionmorphnet.tumor.cubes import NORMALISATIONS
from ionmorphnet.tumor.recipe import PatchRecipe
from ionmorphnet.tumor.selection import SELECTIONS, wanted_selection
from ionmorphnet.tumor.splits import BY, PROTOCOLS

NETWORK_METHODS = ("cnn1d", "cnn3d")
METHODS = (*BASELINES, *NETWORK_METHODS)
PIXEL_WISE = ("lda", "logistic", "svm", "forest", "boosting", "cnn1d")


@dataclass(frozen=True)
class EvaluationPlan:
    """What is evaluated; plain values, written as ``plan.json``.

    Attributes:
        selections: Channel selections on which all ``methods`` are judged. None named: ``picked``; where channels are
            given and neither ``ablation`` nor ``top`` asks for a selection, ``all`` of them.
        ablation: Further selections, of the same number of channels (``all``: of all), with ``ablation_methods`` only.
        methods: Names of ``METHODS``.
        ablation_methods: Those of the ablation.
        top: Number of channels of a selection; None: 40.
        normalisation: See :func:`~ionmorphnet.tumor.cubes.open_cubes`.
        size: Side of a patch in pixels, odd.
        steps: Optimiser steps of a network.
        recipe: Further entries of :class:`~ionmorphnet.tumor.recipe.PatchRecipe`.
        protocol: ``leave-one-out`` or ``k-fold``.
        by: ``patient`` or ``section``.
        k: Folds of ``k-fold``.
        inner: Whether networks stop early by a patient held out of the training set.
        blocks: Cut each section into this many (rows, columns), which then count as patients; None: no.
        buffer: Pixels along inner borders of blocks without labels; None: as many as a patch reaches.
        seed: Of folds, draws, networks and the random selection.
        threads: CPU threads.
    """

    selections: tuple[str, ...] = ()
    ablation: tuple[str, ...] = ()
    methods: tuple[str, ...] = METHODS
    ablation_methods: tuple[str, ...] = ("lda", "cnn3d")
    top: int | None = None
    normalisation: str = "tic"
    size: int = 9
    steps: int = 200
    recipe: dict[str, Any] = field(default_factory=dict)
    protocol: str = "leave-one-out"
    by: str = "patient"
    k: int = 5
    inner: bool = True
    blocks: tuple[int, int] | None = None
    buffer: int | None = None
    seed: int = 0
    threads: int = 2

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ArgumentError: An unknown name, or a number out of range.
        """
        for what, known, given in (
            ("methods", METHODS, (*self.methods, *self.ablation_methods)),
            ("channels", SELECTIONS, (*self.selections, *self.ablation)),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ArgumentError(f"{what} must be of {', '.join(known)}, not '{unknown[0]}'")
        if not self.methods:
            raise ArgumentError("there is no method to evaluate")
        for name, known in (("protocol", PROTOCOLS), ("by", BY), ("normalisation", NORMALISATIONS)):
            if getattr(self, name) not in known:
                raise ArgumentError(f"{name} must be one of {', '.join(known)}, not '{getattr(self, name)}'")
        if self.size < 1 or self.size % 2 == 0:
            raise ArgumentError(f"the side of a patch must be odd and positive, not {self.size}")
        if self.steps < 1 or self.threads < 1 or (self.top is not None and self.top < 1):
            raise ArgumentError("top, steps and threads must be at least 1")
        if self.k < 2:
            raise ArgumentError(f"k must be 2 at least, not {self.k}")
        if self.blocks is not None and (len(self.blocks) != 2 or min(self.blocks) < 1):
            raise ArgumentError(f"blocks are rows and columns, both from 1, not {self.blocks}")
        if self.blocks is not None and self.buffer is not None and self.buffer < self.size // 2:
            raise ArgumentError(f"a buffer of {self.buffer} pixels is less than a patch of {self.size} reaches")
        if not 0 <= self.seed < 1 << 31:
            raise ArgumentError(f"seed must lie from 0 to {(1 << 31) - 1}, not {self.seed}")
        for method in self.networks():
            # Channels and classes are not known yet; everything else is checked.
            size = 1 if method == "cnn1d" else self.size
            entries = {"network": method, "channels": 1, "classes": 2, "size": size, "steps": self.steps}
            taken = sorted({"channels", "classes", "data", "network", "seed", "size", "steps"} & set(self.recipe))
            if taken:
                raise ArgumentError(f"the recipe cannot set {', '.join(taken)}: the plan or the cohort does")
            PatchRecipe.from_dict({**entries, **self.recipe})

    def tasks(self) -> list[tuple[str, str]]:
        """Every (selection, method) once, in order."""
        first = [(selection, method) for selection in self.selections for method in self.methods]
        more = [(selection, method) for selection in self.ablation for method in self.ablation_methods]
        return list(dict.fromkeys([*first, *more]))

    def networks(self) -> list[str]:
        """The networks among the methods."""
        asked = [*self.methods, *(self.ablation_methods if self.ablation else ())]
        return [method for method in NETWORK_METHODS if method in asked]

    def resolved(self, *, given: bool) -> EvaluationPlan:
        """The plan with its selections and number of channels, by whether the user gives channels."""
        asked = self.selections or (("picked",) if self.ablation else ())
        selections, top = wanted_selection(asked, self.top, given)
        return replace(self, selections=selections, top=top)
