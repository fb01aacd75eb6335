"""The options of :func:`ionmorphnet.train`, checked as far as possible without opening a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from ionmorphnet.base.arguments import integer, number, positive, thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike

if TYPE_CHECKING:
    from ionmorphnet.labelled.sources import Source

SIMULATED = "simulated"
Preset = Literal["default", "published"]
TrainingPrecision = Literal["auto", "bf16", "f32"]

_MINIMUM = {"images": 1, "size": 32, "batch": 2, "patience": 1, "seed": 0, "workers": 0}
_POSITIVE = ("epochs", "learning_rate", "ppm")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What to train, on which images, and how to run it.

    ``None`` means that the preset, or the start weights, decide.

    Attributes:
        source: ``"simulated"``, or labelled images: an imzML file, a folder of imzML files, an npz file (see
            :func:`~ionmorphnet.labelled.read_source.read_source`), a source object, or a sequence of these. Images
            without a structure grade get the mean grade of their class, except with the published preset.
        labels: Label CSV, or folder of label CSVs, for the paths in ``source``.
        validation: ``"auto"`` holds out whole datasets of labelled sources (with the published preset, those of the
            published validation set that are present); ``"none"`` holds out nothing; or a separate source.
        val_datasets: Ids of the datasets to hold out (stems of imzML and npz files). Replaces ``validation``.
        split: JSON file ``{"train": [ids], "val": [ids], "test": [ids]}``; ``val`` and ``test`` are optional. Replaces
            ``validation``. Datasets in ``test``, or in no list, are not used.
        preset: ``"default"``, or ``"published"`` (arXiv 2604.19369: ConvNeXt V2 Tiny, one channel, 224 pixels).
        architecture: ``convnextv2_atto`` to ``convnextv2_large``, or the name of a timm backbone if timm is installed.
        images: Number of images to train on. Excludes ``epochs``.
        epochs: Passes over the labelled images; simulated images come on top. Excludes ``images``.
        size: Side of all images in pixels, a multiple of 16 from 32 to 384. Replaces the phases of the preset.
        batch: Images per step, a multiple of 2.
        learning_rate: Peak learning rate.
        init: Start weights: a bundled model's name, a model folder, ``weights.pt`` or the folder of a training, or the
            weights file of a backbone. With the default preset, all but the last select fine-tuning: fewer images and
            a lower learning rate.
        simulated_share: Fraction of simulated images mixed with the labelled ones, 0 to below 1. Defaults to 0.5, or
            0 with the published preset.
        ppm: Half width of the window around each m/z of labelled sections. Defaults to 3.
        patience: Number of validations without a lower loss before training stops. Defaults to no early stopping, or
            10 with the published preset.
        seed: Random seed. On a CPU, the same seed, recipe and number of threads reproduce the same weights.
        resume: Continue the training in the output folder. ``False`` refuses a folder that already holds one.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. Under ``torchrun``, each process uses its own GPU.
        precision: ``"bf16"`` (mixed), ``"f32"``, or ``"auto"``: bf16 if the processor supports it.
        compile: Whether to compile the network, which costs minutes at the start. By default the preset decides, and
            trainings of fewer than 20,000 images are not compiled.
        workers: Number of processes that prepare images; 0: the training process itself. Defaults to a number that
            depends on the cores.
        threads: CPU threads for the network; 0: all cores.
        tensorboard: Whether to write TensorBoard events as well (requires the package ``tensorboard``).
    """

    source: PathLike | Source | Sequence[PathLike | Source] = SIMULATED
    labels: PathLike | None = None
    validation: Literal["auto", "none"] | Source = "auto"
    val_datasets: Sequence[str] | None = None
    split: PathLike | None = None
    preset: Preset = "default"
    architecture: str | None = None
    images: int | None = None
    epochs: float | None = None
    size: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    init: PathLike | None = None
    simulated_share: float | None = None
    ppm: float | None = None
    patience: int | None = None
    seed: int = 20_260_419
    resume: bool = True
    device: DeviceName | Device = "auto"
    precision: TrainingPrecision = "auto"
    compile: bool | None = None
    workers: int | None = None
    threads: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Check the values and their combinations.

        Raises:
            ArgumentError: A value has the wrong type or is out of range, or has no effect with the others.
        """
        if self.preset not in get_args(Preset):
            raise ArgumentError(f"preset must be one of {', '.join(get_args(Preset))}, got {self.preset!r}")
        if self.images is not None and self.epochs is not None:
            raise ArgumentError("images and epochs exclude each other; give one of them")
        for name, least in _MINIMUM.items():
            if (value := getattr(self, name)) is not None:
                integer(name, value, least)
        for name in _POSITIVE:
            if (value := getattr(self, name)) is not None:
                positive(name, value)
        thread_count(self.threads)
        Device.parse(self.device)
        if self.simulated_share is not None and number("simulated_share", self.simulated_share, 0.0, 1.0) == 1.0:
            raise ArgumentError(f"simulated_share must be from 0 to below 1, got {self.simulated_share}")
        self._check_sources()

    def _check_sources(self) -> None:
        if not self.sources:
            raise ArgumentError("source is empty; pass 'simulated', a path or a source object")
        if not any(isinstance(each, str | os.PathLike) for each in self.labelled_sources):
            for name in ("labels", "ppm"):
                if getattr(self, name) is not None:
                    raise ArgumentError(f"{name} applies only to file sources; pass an imzML or npz path as source")
        if self.simulated_share is not None and not self.labelled_sources:
            raise ArgumentError("simulated_share applies only to labelled images; pass a labelled source")

    @property
    def sources(self) -> tuple[PathLike | Source, ...]:
        """The entries of ``source``, also if it is a single one."""
        source = self.source
        # A source object may have a length and items, as a sequence does.
        if isinstance(source, str | os.PathLike) or hasattr(source, "describe") or not isinstance(source, Sequence):
            return (source,)  # type: ignore[return-value]
        return tuple(source)

    @property
    def labelled_sources(self) -> tuple[PathLike | Source, ...]:
        """The entries of ``source`` except ``"simulated"``."""
        return tuple(each for each in self.sources if not (isinstance(each, str) and each == SIMULATED))

    @property
    def mixed_share(self) -> float:
        """``simulated_share`` with its default; naming "simulated" next to other sources requests half."""
        if self.simulated_share is not None:
            return self.simulated_share
        return 0.0 if self.preset == "published" and SIMULATED not in self.sources else 0.5


class TrainKeywords(TypedDict, total=False):
    """The fields of :class:`TrainOptions` as keywords of ``train``; a test checks that both agree."""

    source: PathLike | Source | Sequence[PathLike | Source]
    labels: PathLike | None
    validation: Literal["auto", "none"] | Source
    val_datasets: Sequence[str] | None
    split: PathLike | None
    preset: Preset
    architecture: str | None
    images: int | None
    epochs: float | None
    size: int | None
    batch: int | None
    learning_rate: float | None
    init: PathLike | None
    simulated_share: float | None
    ppm: float | None
    patience: int | None
    seed: int
    resume: bool
    device: DeviceName | Device
    precision: TrainingPrecision
    compile: bool | None
    workers: int | None
    threads: int
    tensorboard: bool
