"""Simulated cohorts: sections of several patients with tumors, and the channels that tell them known.

Tumor differs from the tissue around it in two ways. Level channels hold more (or less) of something, as far as the
tumor is not mixed with healthy tissue; some healthy tissue mimics it in half of them. Texture channels hold the same
amount in both, but in another pattern: fine grains in the tumor, broad clouds elsewhere, so that a single spectrum
does not tell them apart and its neighbourhood does. Every patient and every section has gains of its own in each
channel. Most channels tell nothing: anatomy, bright matrix peaks, faint noise.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.arguments import integer, number
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.files import atomic_path, make_folder
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.imzml_writer import ImzMLWriter
from ionmorphnet.simulation import anatomy
from ionmorphnet.simulation.channels import draw_mz
from ionmorphnet.simulation.fields import Field, fractal_field, smooth_field, smoothstep
from ionmorphnet.simulation.ion_image import draw_measured_area
from ionmorphnet.simulation.section import bounding_box
from ionmorphnet.simulation.silhouettes import Silhouette, draw_silhouette, frame_coordinates, star

CLASSES = ("normal", "tumor")
LABEL_MAP = {"1": "normal", "2": "tumor"}
_MAPS = 6  # anatomical maps of a section


@dataclass(frozen=True)
class Difficulty:
    """How much a tumor shows.

    Attributes:
        level: Mean of |log ratio| of a level channel between pure tumor and normal tissue.
        texture: Standard deviation of a texture channel's log abundance within a tissue.
        batch: Standard deviation of a patient's log gain in each channel; a section's own is half of it.
        noise: Shape of the gamma noise of a pixel; smaller is noisier.
        mimic: How far healthy tissue that mimics the tumor reaches its level.
    """

    level: float
    texture: float
    batch: float
    noise: float
    mimic: float


# Set with linear discriminant analysis alone, on cohorts of other seeds, before any other method saw a cohort.
DIFFICULTIES = {
    "easy": Difficulty(level=0.8, texture=0.7, batch=0.3, noise=5.0, mimic=0.4),
    "medium": Difficulty(level=0.5, texture=0.55, batch=0.4, noise=3.0, mimic=0.6),
    "hard": Difficulty(level=0.35, texture=0.45, batch=0.5, noise=2.0, mimic=0.8),
}

# Channels of each kind, as shares; the rest are faint noise.
_SHARES = {"level": 0.05, "texture": 0.05, "anatomy": 0.15, "matrix": 0.2}


@dataclass(frozen=True)
class SimulatedCohort:
    """What was written.

    Attributes:
        folder: ``cohort.csv`` (for ``read_cohort``), ``labels.json`` (label map), ``truth.csv``, ``cohort.json``, and
            for each section ``.imzML``, ``.ibd`` and ``_regions.png`` (0 no label, 1 normal, 2 tumor).
        list_path: ``cohort.csv``.
        label_path: ``labels.json``.
        truth: One row a channel, ascending: mz; kind (level, texture, anatomy, matrix, noise); informative (level or
            texture); effect (log ratio of pure tumor, level channels).
        seed: The seed.
        difficulty: Its numbers.
    """

    folder: Path
    list_path: Path
    label_path: Path
    truth: pd.DataFrame
    seed: int
    difficulty: Difficulty


def simulate_cohort(
    folder: PathLike,
    *,
    patients: int = 6,
    sections: int = 2,
    shape: tuple[int, int] = (44, 52),
    n_channels: int = 200,
    difficulty: str | Difficulty = "medium",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedCohort:
    """Write a cohort with known truth. The same arguments give the same bytes.

    Args:
        folder: Made where it is missing.
        patients: Number of patients, from 2.
        sections: Sections of each.
        shape: (H, W) of the simulated frame, each at least 24; a section's grid is the bounding box of what was
            measured.
        n_channels: Number of channels, from 20; a twentieth of them level, a twentieth texture channels.
        difficulty: ``easy``, ``medium``, ``hard``, or numbers of one's own.
        seed: Seed of everything random.
        progress: Called after every section with (sections written, sections).

    Raises:
        ArgumentError: An argument cannot be meant.
        FileError: A file cannot be written.
    """
    patients, sections = integer("patients", patients, 2), integer("sections", sections, 1)
    height, width = (integer("each side of shape", side, 24) for side in shape)
    n_channels, seed = integer("n_channels", n_channels, 20), integer("seed", seed, 0)
    level = difficulty_of(difficulty)
    out = Path(folder)
    make_folder(out)
    channels = _Channels.draw(np.random.default_rng([seed, 0]), n_channels, level)
    rows = []
    for patient in range(patients):
        gains = np.random.default_rng([seed, 1, patient]).normal(0.0, level.batch, n_channels)
        for number_ in range(sections):
            rng = np.random.default_rng([seed, 2, patient, number_])
            name = f"p{patient + 1:02d}_s{number_ + 1}"
            own = gains + rng.normal(0.0, level.batch / 2.0, n_channels)
            _write_section(rng, out / f"{name}.imzML", (height, width), channels, own, level)
            rows.append((f"{name}.imzML", f"{name}_regions.png", f"p{patient + 1:02d}", name))
            if progress is not None:
                progress(len(rows), patients * sections)
    truth = channels.truth()
    with atomic_path(out / "truth.csv") as temporary:
        truth.to_csv(temporary, index=False)
    with atomic_path(out / "labels.json") as temporary:
        temporary.write_text(json.dumps(LABEL_MAP) + "\n", encoding="utf-8")
    arguments = {"patients": patients, "sections": sections, "shape": [height, width], "n_channels": n_channels}
    with atomic_path(out / "cohort.json") as temporary:
        document = {**arguments, "seed": seed, "difficulty": asdict(level)}
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    with atomic_path(out / "cohort.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "regions", "patient", "name"), *rows])
    return SimulatedCohort(out, out / "cohort.csv", out / "labels.json", truth, seed, level)


def difficulty_of(difficulty: str | Difficulty) -> Difficulty:
    """A difficulty by its name, or the checked numbers.

    Raises:
        ArgumentError: An unknown name, or a number out of range.
    """
    if isinstance(difficulty, str):
        if difficulty not in DIFFICULTIES:
            raise ArgumentError(f"difficulty must be one of {', '.join(DIFFICULTIES)}, not '{difficulty}'")
        return DIFFICULTIES[difficulty]
    for each in fields(difficulty):
        number(f"difficulty: {each.name}", getattr(difficulty, each.name), 0.05 if each.name == "noise" else 0.0, 100.0)
    return difficulty


@dataclass(frozen=True)
class _Channels:
    """Arrays with one entry for each channel; log abundances."""

    mz: NDArray[np.float64]
    kind: NDArray[Any]
    level: NDArray[np.float64]  # of a pixel that holds it
    effect: NDArray[np.float64]
    mimicked: NDArray[np.bool_]
    texture: NDArray[np.float64]
    anatomy: NDArray[np.float64]  # (maps, n)
    detected: NDArray[np.float64]  # intensities below this share of the level are 0

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, difficulty: Difficulty) -> _Channels:
        counts = {kind: max(1, round(share * n)) for kind, share in _SHARES.items()}
        kinds = np.repeat([*counts, "noise"], [*counts.values(), n - sum(counts.values())])
        kind = kinds[rng.permutation(n)]
        tells = kind == "level"
        centre = np.select([kind == "matrix", kind == "noise"], [8.5, 5.5], 6.5)
        sign = np.where(rng.random(n) < 0.7, 1.0, -1.0)
        maps = rng.uniform(-0.6, 0.6, (_MAPS, n)) * (rng.random((_MAPS, n)) < 0.4)
        maps[:, kind == "anatomy"] *= 2.5
        maps[:, np.isin(kind, ("matrix", "noise"))] = 0.0
        return cls(
            mz=draw_mz(rng, n, (150.0, 900.0), 60.0, 0),
            kind=kind,
            level=centre + rng.normal(0.0, 0.6, n),
            effect=np.where(tells, sign * difficulty.level * rng.uniform(0.5, 1.5, n), 0.0),
            mimicked=tells & (rng.random(n) < 0.5),
            texture=np.where(kind == "texture", difficulty.texture * rng.choice([-1.0, 1.0], n), 0.0),
            anatomy=maps,
            detected=np.where(kind == "noise", rng.uniform(0.5, 2.0, n), 0.1),
        )

    def truth(self) -> pd.DataFrame:
        informative = np.isin(self.kind, ("level", "texture"))
        return pd.DataFrame({"mz": self.mz, "kind": self.kind, "informative": informative, "effect": self.effect})


def _write_section(
    rng: np.random.Generator,
    path: Path,
    shape: tuple[int, int],
    channels: _Channels,
    gains: NDArray[np.float64],
    difficulty: Difficulty,
) -> None:
    silhouette = draw_silhouette(rng, shape, coverage=(0.45, 0.75))
    measured = draw_measured_area(rng, silhouette, kind=0.8)
    tumor, pure = _tumor(rng, silhouette)
    log = channels.level + gains + _log_abundance(rng, silhouette, channels, tumor, pure, difficulty)
    on_sample = silhouette.tissue[..., None] | (channels.kind == "matrix") | (channels.kind == "noise")
    expected = np.exp(np.where(on_sample, log, log - 4.0))
    expected *= np.exp(0.25 * rng.standard_normal(shape))[..., None]  # how much each shot ablates
    observed = expected * rng.gamma(difficulty.noise, 1.0 / difficulty.noise, expected.shape)
    observed[observed < channels.detected * np.exp(channels.level)] = 0.0
    regions = _annotation(silhouette, tumor)
    box = bounding_box(measured)
    ys, xs = np.nonzero(measured[box])
    positions = np.stack([xs + 1, ys + 1, np.ones_like(xs)], axis=1)
    spectra = observed[box][ys, xs].astype(np.float32)
    uuid = UUID(bytes=rng.bytes(16), version=4)
    writer = ImzMLWriter(path, mode="continuous", spectrum_type="centroid", pixel_size_um=50.0, uuid=uuid)
    with writer:
        writer.add_shared(positions, channels.mz, spectra)
    regions = np.where(measured, regions, 0)[box]
    _write_mask(path.with_name(f"{path.stem}_regions.png"), regions.astype(np.uint8))


def _log_abundance(
    rng: np.random.Generator,
    silhouette: Silhouette,
    channels: _Channels,
    tumor: Field,
    pure: Field,
    difficulty: Difficulty,
) -> NDArray[np.float64]:
    """What the tissue adds to each channel's level, float64 (H, W, n)."""
    shape = silhouette.shape
    labels = anatomy.compartment_labels(rng, silhouette, 4)
    maps = [(labels == k).astype(np.float64) for k in range(4)]
    maps += [anatomy.ribbons(rng, silhouette).astype(np.float64), anatomy.gradient(rng, silhouette).astype(np.float64)]
    log = np.stack(maps, axis=-1) @ channels.anatomy
    strength = rng.uniform(0.7, 1.3)
    log += (strength * pure)[..., None] * channels.effect
    # Inflamed or otherwise odd, but healthy: half of the level channels react.
    field = smooth_field(rng, shape, min(shape) / 3.0)
    odd = smoothstep(field, 0.5, 0.3) * (1.0 - tumor)
    log += (difficulty.mimic * odd)[..., None] * np.where(channels.mimicked, channels.effect, 0.0)
    fine, broad = _standardised(smooth_field(rng, shape, 1.6)), _standardised(smooth_field(rng, shape, 9.0))
    # Where both meet, the mixture keeps the variance.
    mixed = (tumor * fine + (1.0 - tumor) * broad) / np.sqrt(tumor**2 + (1.0 - tumor) ** 2)
    log += mixed[..., None] * channels.texture
    return log


def _tumor(rng: np.random.Generator, silhouette: Silhouette) -> tuple[Field, Field]:
    """Where the tumor is (0 to 1), and how pure it is there: healthy tissue lies between its cells."""
    v, u = frame_coordinates(silhouette.shape)
    inside = np.argwhere(silhouette.depth > 0.25)
    depth = np.full(silhouette.shape, -1.0, np.float32)
    for _ in range(20):
        for _ in range(1 + int(rng.random() < 0.4)):
            y, x = inside[int(rng.integers(len(inside)))]
            centre = (float(v[y, x]), float(u[y, x]))
            radius, aspect = rng.uniform(0.28, 0.45), rng.uniform(1.0, 1.8)
            np.maximum(depth, star(rng, v, u, centre=centre, radius=radius, aspect=aspect, lobes=0.3), out=depth)
        share = float(((depth > 0) & silhouette.tissue).sum() / silhouette.tissue.sum())
        if 0.15 <= share <= 0.5:
            break
        if share > 0.5:
            depth.fill(-1.0)
    depth = depth + np.float32(0.08) * fractal_field(rng, silhouette.shape, 6.0)
    tumor = smoothstep(depth, 0.0, 0.05) * silhouette.tissue
    mixed = np.clip(0.75 + 0.35 * fractal_field(rng, silhouette.shape, 5.0), 0.2, 1.2)
    return tumor, (tumor * mixed).astype(np.float32)


def _annotation(silhouette: Silhouette, tumor: Field) -> NDArray[np.int64]:
    """What a pathologist draws: 0 none, 1 normal, 2 tumor; the doubtful rim between both stays open."""
    regions = np.where(tumor > 0.5, 2, 1)
    regions[(tumor > 0.02) & (tumor < 0.98)] = 0
    regions[~silhouette.tissue] = 0
    return regions


def _standardised(field: Field) -> Field:
    result: Field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return result


def _write_mask(path: Path, regions: NDArray[np.uint8]) -> None:
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(regions).save(temporary, "PNG")
