"""Simulated cohorts: sections of several patients with tumors, for which the informative channels are known.

Tumors differ from the surrounding tissue in two ways. Level channels have higher or lower intensity in the tumor, in
proportion to its purity. Texture channels have the same mean intensity in both but another pattern, fine grains in the
tumor and broad clouds elsewhere, so only a pixel's neighbourhood tells them apart, not its spectrum. Mixed channels do
both. The shares of these kinds are stated by the caller, because they decide which kind of classifier can win. Healthy
but unusual tissue mimics the tumor in half of the channels of each kind.

Most channels are not informative: they show anatomy, matrix peaks or noise. Their numbers and brightness differ between
cohorts, so that no fixed number of channels, and no rule such as taking the brightest, is right or wrong by design.
Patients and sections differ by a gain per channel; sections also by an offset per channel, a drift along the
acquisition and their resolution.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.arguments import integer, number
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.files import atomic_path, filled_folder
from ionmorphnet.base.paths import PathLike
from ionmorphnet.evaluate.thinned import gaussian_blur
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
    """How hard a tumor is to detect.

    Attributes:
        level: Mean of |log ratio| of a level channel between pure tumor and normal tissue.
        texture: Standard deviation of a texture channel's log abundance within a tissue.
        batch: Standard deviation of a patient's log gain in each channel; that of a section is half of it.
        noise: Shape parameter of a pixel's gamma noise; smaller is noisier.
        mimic: Effect in healthy tissue that mimics the tumor, as a share of the tumor's.
        offset: Mean background of a channel in a section, as a share of the channel's level.
        drift: Standard deviation of the log gain that a channel gains or loses between a section's first and last line.
        blur: Largest standard deviation, in pixels, of the blur of a section.
    """

    level: float
    texture: float
    batch: float
    noise: float
    mimic: float
    offset: float = 0.0
    drift: float = 0.0
    blur: float = 0.0


# The strengths of the earlier simulator, tuned with LDA alone; not tuned again since cohorts have batch effects.
DIFFICULTIES = {
    "easy": Difficulty(level=0.8, texture=0.7, batch=0.3, noise=5.0, mimic=0.4, offset=0.1, drift=0.1, blur=0.3),
    "medium": Difficulty(level=0.5, texture=0.55, batch=0.4, noise=3.0, mimic=0.6, offset=0.2, drift=0.2, blur=0.6),
    "hard": Difficulty(level=0.35, texture=0.45, batch=0.5, noise=2.0, mimic=0.8, offset=0.3, drift=0.3, blur=0.9),
}

INFORMATIVE = ("level", "texture", "mixed")
_INFORMATIVE_SHARE = 0.1
# Least and greatest share of the other kinds among the channels; the rest are faint noise.
_DECOYS = {"anatomy": (0.1, 0.25), "matrix": (0.05, 0.35)}
# Least and greatest scale of the patterns in pixels.
_FINE, _BROAD = (1.2, 3.0), (6.0, 12.0)
_MIXED = 1.0 / np.sqrt(2.0)  # a mixed channel has this much of either effect


@dataclass(frozen=True)
class SimulatedCohort:
    """A simulated cohort on disk.

    Attributes:
        folder: Folder with ``cohort.csv`` (for ``read_cohort``), ``labels.json`` (label map), ``truth.csv``,
            ``cohort.json``, and for each section ``.imzML``, ``.ibd`` and ``_regions.png`` (0 = no label, 1 = normal,
            2 = tumor).
        list_path: Path of ``cohort.csv``.
        label_path: Path of ``labels.json``.
        truth: One row per channel in ascending m/z: mz; kind (level, texture, mixed, anatomy, matrix, noise);
            informative (level, texture or mixed); effect (log ratio of pure tumor to normal tissue; 0 for texture).
        seed: The seed.
        difficulty: The difficulty.
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
    texture_share: float = 0.5,
    mixed_share: float = 0.2,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedCohort:
    """Writes a simulated cohort with known truth. The same arguments produce the same bytes.

    Args:
        folder: Destination; created if missing.
        patients: Number of patients, at least 2.
        sections: Number of sections per patient, at least 1.
        shape: (H, W) of the simulated frame in pixels, each at least 24. The grid of a section is the bounding box of
            its measured pixels.
        n_channels: Number of channels, at least 20. 10% are informative.
        difficulty: ``easy``, ``medium``, ``hard``, or a custom :class:`Difficulty`.
        texture_share: Share of texture channels among the informative channels that are not mixed, from 0 (only levels
            tell the tumor) to 1 (only patterns do).
        mixed_share: Share of mixed channels among the informative channels; without effect if ``texture_share`` is 0 or
            1, which stand for cohorts of one kind.
        seed: Seed of everything random.
        progress: Called as progress(done, total) in sections.

    Returns:
        Paths and truth of the cohort.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range.
        FileError: A file cannot be written.
    """
    patients, sections = integer("patients", patients, 2), integer("sections", sections, 1)
    height, width = (integer("each side of shape", side, 24) for side in shape)
    n_channels, seed = integer("n_channels", n_channels, 20), integer("seed", seed, 0)
    level = difficulty_of(difficulty)
    shares = {"texture_share": texture_share, "mixed_share": mixed_share}
    for name, share in shares.items():
        number(name, share, 0.0, 1.0)
    out = Path(folder)
    rng = np.random.default_rng([seed, 0])
    channels = _Channels.draw(rng, _kinds(rng, n_channels, texture_share, mixed_share), level)
    rows = []
    with filled_folder(out):
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
        document = {**arguments, **shares, "seed": seed, "difficulty": asdict(level)}
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    with atomic_path(out / "cohort.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "regions", "patient", "name"), *rows])
    return SimulatedCohort(out, out / "cohort.csv", out / "labels.json", truth, seed, level)


def difficulty_of(difficulty: str | Difficulty) -> Difficulty:
    """Looks a difficulty up by name, or checks a custom one.

    Raises:
        ArgumentError: The name is unknown, or a number is out of range.
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
    """Arrays with one entry per channel; abundances are natural logarithms."""

    mz: NDArray[np.float64]
    kind: NDArray[np.str_]
    level: NDArray[np.float64]  # log abundance where the channel is present
    effect: NDArray[np.float64]
    mimicked: NDArray[np.bool_]
    texture: NDArray[np.float64]
    grain: tuple[float, float]  # scale of the fine and of the broad pattern in pixels
    anatomy: NDArray[np.float64]  # (maps, n)
    detected: NDArray[np.float64]  # intensities below this share of the level are 0

    @classmethod
    def draw(cls, rng: np.random.Generator, kind: NDArray[np.str_], difficulty: Difficulty) -> _Channels:
        n = len(kind)
        informative = np.isin(kind, INFORMATIVE)
        share = np.where(kind == "mixed", _MIXED, 1.0)
        # Matrix peaks are the brighter ones on average, but tissue has bright channels too.
        centre = np.select([kind == "matrix", kind == "noise"], [7.5, 5.5], 6.5)
        sign = np.where(rng.random(n) < 0.7, 1.0, -1.0)
        maps = rng.uniform(-0.6, 0.6, (_MAPS, n)) * (rng.random((_MAPS, n)) < 0.4)
        maps[:, kind == "anatomy"] *= 2.5
        maps[:, np.isin(kind, ("matrix", "noise"))] = 0.0
        effect = sign * difficulty.level * rng.uniform(0.5, 1.5, n)
        texture = difficulty.texture * rng.choice([-1.0, 1.0], n)
        return cls(
            mz=draw_mz(rng, n, (150.0, 900.0), 60.0, 0),
            kind=kind,
            level=centre + rng.normal(0.0, 1.0, n),
            effect=np.where(np.isin(kind, ("level", "mixed")), share * effect, 0.0),
            mimicked=informative & (rng.random(n) < 0.5),
            texture=np.where(np.isin(kind, ("texture", "mixed")), share * texture, 0.0),
            grain=(float(rng.uniform(*_FINE)), float(rng.uniform(*_BROAD))),
            anatomy=maps,
            detected=np.where(kind == "noise", rng.uniform(0.5, 2.0, n), 0.1),
        )

    def truth(self) -> pd.DataFrame:
        informative = np.isin(self.kind, INFORMATIVE)
        return pd.DataFrame({"mz": self.mz, "kind": self.kind, "informative": informative, "effect": self.effect})


def _kinds(rng: np.random.Generator, n: int, texture_share: float, mixed_share: float) -> NDArray[np.str_]:
    """Kind of each channel, in random order."""
    informative = max(1, round(_INFORMATIVE_SHARE * n))
    mixed = round(mixed_share * informative) if 0.0 < texture_share < 1.0 else 0
    texture = round(texture_share * (informative - mixed))
    counts = {"level": informative - mixed - texture, "texture": texture, "mixed": mixed}
    counts |= {kind: max(1, round(rng.uniform(*shares) * n)) for kind, shares in _DECOYS.items()}
    found: NDArray[np.str_] = np.repeat([*counts, "noise"], [*counts.values(), n - sum(counts.values())])
    return rng.permutation(found)


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
    width = rng.uniform(0.0, difficulty.blur)
    if width > 0.1:
        inside = gaussian_blur(np.ones(shape), width)
        expected = np.stack([gaussian_blur(plane, width) / inside for plane in np.moveaxis(expected, -1, 0)], axis=-1)
    lines = np.linspace(-0.5, 0.5, shape[0])[:, None, None]
    expected *= np.exp(lines * rng.normal(0.0, difficulty.drift, len(gains)))
    expected += np.exp(channels.level) * rng.uniform(0.0, 2.0 * difficulty.offset, len(gains))
    expected *= np.exp(0.25 * rng.standard_normal(shape))[..., None]  # shot-to-shot variation of the laser
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
    """Contribution of the tissue to each channel's log abundance, float64 (H, W, n)."""
    shape = silhouette.shape
    labels = anatomy.compartment_labels(rng, silhouette, 4)
    maps = [(labels == k).astype(np.float64) for k in range(4)]
    maps += [anatomy.ribbons(rng, silhouette).astype(np.float64), anatomy.gradient(rng, silhouette).astype(np.float64)]
    log = np.stack(maps, axis=-1) @ channels.anatomy
    strength = rng.uniform(0.7, 1.3)
    log += (strength * pure)[..., None] * channels.effect
    # Healthy but unusual tissue, such as inflammation, changes half of the informative channels.
    field = smooth_field(rng, shape, min(shape) / 3.0)
    odd = difficulty.mimic * smoothstep(field, 0.5, 0.3) * (1.0 - tumor)
    log += odd[..., None] * np.where(channels.mimicked, channels.effect, 0.0)
    fine, broad = (_standardised(smooth_field(rng, shape, scale)) for scale in channels.grain)
    for mimicked, share in ((False, tumor), (True, np.maximum(tumor, odd))):
        # The divisor keeps the variance where both tissues mix.
        pattern = (share * fine + (1.0 - share) * broad) / np.sqrt(share**2 + (1.0 - share) ** 2)
        log += pattern[..., None] * np.where(channels.mimicked == mimicked, channels.texture, 0.0)
    return log


def _tumor(rng: np.random.Generator, silhouette: Silhouette) -> tuple[Field, Field]:
    """Where the tumor is (0 to 1), and its purity there, since healthy tissue lies between tumor cells."""
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
    """Annotation of a pathologist: 0 = none, 1 = normal, 2 = tumor; the uncertain rim in between has no label."""
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
