"""Training images from real ones: a labelled scene is reframed, altered and drowned in noise, and keeps a known label.

Class and grade follow from the observers' label and from what the degradation hides at view scale (``view``,
``verdicts``), so a scene that is hardly degraded keeps its label, and its noise levels have a known order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation import alterations
from ionmorphnet.simulation.degrade import (
    NOISE_KINDS,
    Noise,
    Signal,
    blur,
    draw_processing,
    process,
    record,
    residual,
    tiled,
    unit,
)
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.observer import FRAGMENTED, LOCALIZED, NEGATIVE, STRUCTURED, UNSTRUCTURED, WEAK
from ionmorphnet.simulation.reframe import Frame, draw_reframed
from ionmorphnet.simulation.sample_map import draw_sample_map, drop_sample_map
from ionmorphnet.simulation.silhouettes import Silhouette
from ionmorphnet.simulation.verdicts import follow_lit, follow_noise, is_confined, lit_share, rises
from ionmorphnet.simulation.view import View, contrast, grade_of, log_odds, odds_of, reliability

# Grade from which the sample can be estimated from the image itself.
_ESTIMABLE_GRADE = 1.2
# Share of images without a sample map.
MAP_UNKNOWN = 0.25
# Share of the frame below which a whole sample looks like a confined region if the map is unknown.
_SMALL_SAMPLE = 0.22
_FRAGMENTED_GRADE = 0.75
# Anatomy left with this share of the display range beside a bright strip has half its grade.
_FAINT = 0.12
# If noise hides all but a bright strip or rim: the grade, and the share of observers who call the image localized.
_ONLY_COVER, _COVER_IS_LOCALIZED = 0.5, 0.4
# Share of scenes whose first level has no noise added.
_CLEAR = 0.55
# Noise is drawn this much weaker (log-odds) than a grade asks for: the image's own noise and clipping add to it.
_HEADROOM = 0.8
_NOISE_SHARES = np.array([0.3, 0.11, 0.11, 0.1, 0.16, 0.12, 0.1])


@dataclass(frozen=True)
class CleanScene:
    """A real image with its observers' label.

    Attributes:
        image: float32 (H, W) in any unit; NaN = not measured.
        shares: float32 (6,), share of observers who chose each class.
        grade: Their mean grade of structure, 0 to 3.
        sample: float32 (H, W), probability that a pixel is sample; None = unknown.
    """

    image: Field
    shares: NDArray[np.float32]
    grade: float
    sample: Field | None = None


@dataclass(frozen=True)
class SemiSyntheticImage:
    """A degraded real image with its label; attributes as in :class:`~.ion_image.SimulatedImage`.

    ``changes`` names what was done to the scene.
    """

    image: Field
    mask: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    structure: float
    sample: Field | None
    changes: tuple[str, ...]


@dataclass
class _Scene:
    """A scene on the way: the expected image, and what observers would say of it without noise."""

    frame: Frame
    shares: NDArray[np.float32]
    odds: float
    changes: list[str] = field(default_factory=list)
    # Pixels by which the structure is judged, None: all; and the grade that noise of this kind keeps at least.
    judged: NDArray[np.bool_] | None = None
    fixed: bool = False

    @property
    def kind(self) -> int:
        return int(self.shares.argmax())


def degrade_scene(
    rng: np.random.Generator,
    clean: CleanScene,
    *,
    levels: int = 2,
    sides: tuple[int, int] = (32, 192),
    donor: Field | None = None,
    partner: CleanScene | None = None,
) -> tuple[SemiSyntheticImage, ...]:
    """Draws one scene from a real image and shows it at several noise levels, the clearest first.

    Args:
        rng: Source of randomness; the same state yields the same images.
        clean: The real image.
        levels: Number of images.
        sides: Smallest and largest side of the result in pixels, geometric mean of height and width.
        donor: float32 (h, w), real image without structure from the same instrument, as noise.
        partner: Another image of the same section and size, to be mixed in.

    Returns:
        ``levels`` images of the same size; grades never rise from one to the next.
    """
    measured = ~np.isnan(clean.image)
    values = _scaled(np.where(measured, clean.image, np.float32(0.0)), measured)
    shares = np.asarray(clean.shares, dtype=np.float32)
    changes: list[str] = []
    grade = clean.grade
    if partner is not None and partner.image.shape == values.shape:
        other = _scaled(np.where(measured, np.nan_to_num(partner.image), np.float32(0.0)), measured)
        weight = np.float32(rng.uniform(0.25, 0.75))
        values = weight * values + (np.float32(1.0) - weight) * other
        shares = weight * shares + (np.float32(1.0) - weight) * np.asarray(partner.shares, dtype=np.float32)
        grade = float(weight) * grade + float(1.0 - weight) * partner.grade
        changes.append("mixed")
    kind = int(shares.argmax())
    before = Frame(values, measured, clean.sample)
    frame, reframed = draw_reframed(rng, before, sides, free=_free_to_crop(kind), negative=kind == NEGATIVE)
    scene = _Scene(frame, shares, odds_of(grade), changes + reframed)
    _follow_frame(scene, before)
    base = View(frame.measured).seen(frame.values)
    _alter(rng, scene)
    return _recorded(rng, scene, contrast(base), levels, donor)


def with_sample(clean: CleanScene) -> CleanScene:
    """Adds an estimate of the sample to an image that clearly shows all of it and has no map."""
    kind = int(clean.shares.argmax())
    if clean.sample is not None or kind not in (STRUCTURED, WEAK, NEGATIVE) or clean.grade < _ESTIMABLE_GRADE:
        return clean
    measured = ~np.isnan(clean.image)
    values = _scaled(np.where(measured, clean.image, np.float32(0.0)), measured)
    sample = alterations.estimated_sample(values, measured, negative=kind == NEGATIVE)
    return replace(clean, sample=sample)


def _scaled(values: Field, measured: NDArray[np.bool_]) -> Field:
    """Scales to 1 at the 0.99 quantile of the measured pixels; brighter pixels are cut at 3."""
    inside = values[measured]
    top = float(np.quantile(inside[:: max(1, inside.size // 8192)], 0.99)) if inside.size else 0.0
    if top <= 0.0:
        top = float(inside.max(initial=0.0)) or 1.0
    scaled: Field = np.clip(values * np.float32(1.0 / top), 0.0, 3.0)
    return scaled


def _free_to_crop(kind: int) -> bool:
    """Whether a crop may lie anywhere; negatives and clusters need their surroundings."""
    return kind in (STRUCTURED, WEAK, UNSTRUCTURED)


def _follow_frame(scene: _Scene, before: Frame) -> None:
    """Lets the label follow a crop, a frame or a mask."""
    if not {"cropped", "padded", "masked"} & set(scene.changes):
        return
    frame = scene.frame
    view, old = View(frame.measured), View(before.measured)
    blocks, earlier = view.seen(frame.values), old.seen(before.values)
    if "cropped" in scene.changes and earlier.size:
        # The image's own noise stays while the variance that it is compared with changes.
        ratio = max(float(blocks.var()), 1e-6) / max(float(earlier.var()), 1e-6)
        scene.odds += math.log(min(ratio, 1.0))
    if frame.sample is not None and before.sample is not None:
        lits = [
            lit_share(b, v.means(f.sample) > 0.5)
            for b, v, f in ((earlier, old, before), (blocks, view, frame))
            if f.sample is not None
        ]
        scene.shares = follow_lit(scene.shares, lits[0], lits[1])


def _alter(rng: np.random.Generator, scene: _Scene) -> None:
    """Draws at most one alteration of what the scene shows, and perhaps another contrast."""
    kind, draw = scene.kind, rng.random()
    frame = scene.frame
    sample = frame.sample
    clear = grade_of(scene.odds) > 1.2
    if kind in (STRUCTURED, WEAK) and clear:
        if sample is not None and draw < 0.5:
            _alter_whole_sample(rng, scene, sample, draw / 0.5)
        elif draw < 0.55:
            _scatter(rng, scene)
        elif draw < 0.6:
            _bright_strip(rng, scene)
    elif draw < 0.06 and kind != UNSTRUCTURED:
        _scatter(rng, scene)
    elif kind == UNSTRUCTURED and draw < 0.15 and sample is not None:
        _hot_rim(rng, scene, sample)
    if rng.random() < 0.25 and not scene.fixed:
        values, name = alterations.recast(rng, scene.frame.values)
        _show(scene, values, name)


def _show(scene: _Scene, values: Field, name: str) -> None:
    values = np.where(scene.frame.measured, values, np.float32(0.0)).astype(np.float32, copy=False)
    scene.frame = replace(scene.frame, values=_scaled(values, scene.frame.measured))
    scene.changes.append(name)


def _alter_whole_sample(rng: np.random.Generator, scene: _Scene, sample: Field, draw: float) -> None:
    frame = scene.frame
    coverage = float(sample.sum()) / max(float(frame.measured.sum()), 1.0)
    whole = scene.shares.copy()
    if draw < 0.38:
        _show(scene, alterations.confined(rng, frame.values, sample), "confined")
        view = View(frame.measured)
        lit = lit_share(view.seen(scene.frame.values), view.means(sample) > 0.5)
        share = is_confined(lit) if lit is not None else 0.9
        scene.shares = np.zeros_like(whole)
        scene.shares[LOCALIZED] = share
        scene.shares[[STRUCTURED, WEAK]] = (1.0 - share) * whole[[STRUCTURED, WEAK]] / max(whole[:2].sum(), 1e-6)
    elif draw < 0.58:
        shown = alterations.clusters(rng, frame.values, sample)
        if shown is not None:
            _show(scene, shown, "clusters")
            scene.shares = np.zeros_like(whole)
            scene.shares[[FRAGMENTED, LOCALIZED]] = 0.9, 0.1
            scene.odds = odds_of(_FRAGMENTED_GRADE * grade_of(scene.odds))
    elif draw < 0.76:
        if 0.12 < coverage < 0.82:
            _show(scene, alterations.surroundings(rng, frame.values, sample), "surroundings")
            scene.shares = np.zeros_like(whole)
            scene.shares[NEGATIVE] = 1.0
    elif draw < 0.82:
        _show(scene, alterations.inverted(frame.values, sample), "inverted")
    elif draw < 0.92:
        _bright_strip(rng, scene)
    else:
        _hot_rim(rng, scene, sample)


def _bright_strip(rng: np.random.Generator, scene: _Scene) -> None:
    """A bright strip or edge over faint anatomy: what is left of the anatomy counts."""
    frame = scene.frame
    band = alterations.strip(rng, (frame.values.shape[0], frame.values.shape[1]), frame.sample)
    faint = float(np.exp(rng.uniform(np.log(0.06), np.log(0.7))))
    _cover(scene, band, faint, "strip")
    before = scene.odds
    scene.odds = odds_of(grade_of(before) * faint / (faint + _FAINT))
    scene.shares = follow_noise(scene.shares, before, scene.odds)
    only = 0.7 * rises(-faint, -0.1, 0.03)
    scene.shares = scene.shares * np.float32(1.0 - only)
    scene.shares[LOCALIZED] += only


def _hot_rim(rng: np.random.Generator, scene: _Scene, sample: Field) -> None:
    """Hot spots along the rim of a sample that shows nothing, or faint anatomy."""
    frame = scene.frame
    spots = alterations.rim(rng, sample)
    if float((spots > 0.3).mean()) < 0.004:
        return
    if rng.random() < 0.5 or scene.kind == UNSTRUCTURED:
        if scene.kind != UNSTRUCTURED:
            _shuffle(rng, scene, frame.measured)
        _cover(scene, spots, rng.uniform(0.1, 0.8), "rim")
        scene.shares = np.zeros(6, dtype=np.float32)
        scene.shares[[UNSTRUCTURED, WEAK, LOCALIZED]] = 0.6, 0.2, 0.2
        scene.odds, scene.fixed = odds_of(0.75), True
    else:
        _cover(scene, spots, rng.uniform(0.12, 0.6), "rim")


def _cover(scene: _Scene, bright: Field, faint: float, name: str) -> None:
    """Puts bright pixels over the image, which is left with the share ``faint`` of the display range."""
    frame = scene.frame
    cover = np.clip(bright, 0.0, 1.0)
    values = np.float32(faint) * np.minimum(frame.values, np.float32(1.5)) * (1.0 - cover) + bright
    scene.judged = cover < 0.15
    if float((bright > 0.7)[frame.measured].mean()) < 0.012:  # the 0.99 quantile does not reach it
        scene.judged = None
    _show(scene, values, name)


def _scatter(rng: np.random.Generator, scene: _Scene) -> None:
    """Moves pixels at random, so that nothing is left but the outline of an area."""
    frame = scene.frame
    sample, measured = frame.sample, frame.measured
    inside = sample > 0.5 if sample is not None else measured
    bright = float(frame.values[inside].mean()) if inside.any() else 0.0
    outside = measured & ~inside
    if outside.mean() < 0.05 or rng.random() < 0.35:
        _shuffle(rng, scene, measured)
        scene.changes.append("shuffled")
        scene.shares, scene.odds = _only(UNSTRUCTURED), odds_of(rng.uniform(0.0, 0.2))
    else:
        dark = float(frame.values[outside].mean())
        # Noise inside the outline: of the sample itself, or what surrounds it.
        pool = inside if rng.random() < 0.5 or dark < 0.02 else outside
        values = alterations.scattered_pixels(rng, frame.values, inside, pool)
        values[outside] = 0.0
        spread = float(values[inside].std()) / max(float(values[inside].mean()), 1e-6)
        _show(scene, values, "scattered in outline")
        if pool is inside and spread < 0.45 and bright > 0.3:  # even tissue rather than noise
            scene.shares = np.zeros(6, dtype=np.float32)
            scene.shares[[UNSTRUCTURED, WEAK, STRUCTURED]] = 0.5, 0.4, 0.1
            scene.odds = odds_of(1.0)
        else:
            scene.shares = _only(UNSTRUCTURED)
            scene.odds = odds_of(0.35)
        if rng.random() < 0.35:  # measured up to the outline
            scene.frame = replace(scene.frame, measured=inside)
    scene.fixed = True


def _shuffle(rng: np.random.Generator, scene: _Scene, area: NDArray[np.bool_]) -> None:
    values = alterations.scattered_pixels(rng, scene.frame.values, area, area)
    scene.frame = replace(scene.frame, values=values)


def _only(kind: int) -> NDArray[np.float32]:
    shares = np.zeros(6, dtype=np.float32)
    shares[kind] = 1.0
    return shares


def _recorded(
    rng: np.random.Generator, scene: _Scene, base_contrast: float, levels: int, donor: Field | None
) -> tuple[SemiSyntheticImage, ...]:
    """Shows the scene at each noise level."""
    frame = scene.frame
    shape = (frame.values.shape[0], frame.values.shape[1])
    view = View(frame.measured, scene.judged)
    expected = view.means(np.minimum(frame.values, np.float32(1.0)))
    kind = NOISE_KINDS[int(rng.choice(len(NOISE_KINDS), p=_NOISE_SHARES))]
    signal = Signal(
        frame.values,
        frame.measured,
        float(expected.var()) if expected.size else 0.0,
        view.side,
        residual(frame.values, frame.measured) if kind == "own" else None,
        unit(tiled(rng, donor, shape)) if donor is not None and kind == "donor" else None,
    )
    blurred = rng.uniform(0.3, 0.02 * math.sqrt(shape[0] * shape[1]) + 0.3) if rng.random() < 0.12 else 0.0
    grain = float(np.exp(rng.uniform(np.log(1.0), np.log(60.0))))
    if blurred > 0.0:
        scene.changes.append("blurred")
    processing = draw_processing(rng)
    on_sample = None if frame.sample is None else view.means(frame.sample) > 0.5
    sample, small = _emitted_map(rng, frame)
    gain = np.float32(np.exp(rng.uniform(0.0, np.log(1e6))))
    results: list[SemiSyntheticImage] = []
    grade = 3.0
    for odds in _levels(rng, scene, levels):
        noise = Noise(kind, math.exp(odds), grain, blurred) if odds is not None else None
        image, again = (process(rng, _recording(rng, signal, noise, blurred), processing) for _ in range(2))
        image = np.where(frame.measured, image, np.float32(0.0))
        again = np.where(frame.measured, again, np.float32(0.0))
        shares, after = scene.shares, scene.odds
        if not scene.fixed:
            kept = min(1.0, reliability(view.seen(image), view.seen(again)) / max(base_contrast, 1e-6))
            after = log_odds(kept / (1.0 + math.exp(-scene.odds)))
            if kind == "threshold" and on_sample is not None:  # hides faint parts, whatever the noise
                shares = _follow_threshold(shares, expected, view.means(np.minimum(image, np.float32(1.0))), on_sample)
            shares = follow_noise(shares, scene.odds, after)
            if scene.judged is not None:  # what covers the image remains visible
                after = max(after, min(scene.odds, odds_of(_ONLY_COVER)))
                shares[LOCALIZED] += _COVER_IS_LOCALIZED * shares[UNSTRUCTURED]
                shares[UNSTRUCTURED] *= 1.0 - _COVER_IS_LOCALIZED
        grade = min(grade, grade_of(after))
        if small and sample is None:
            shares = _small_sample(shares)
        observed = np.where(frame.measured, image * gain, np.float32(np.nan)).astype(np.float32)
        changes = (*scene.changes, *((kind,) if noise is not None else ()))
        results.append(SemiSyntheticImage(observed, frame.measured, shares / shares.sum(), grade, sample, changes))
    return tuple(results)


def _follow_threshold(
    shares: NDArray[np.float32], expected: Field, blocks: Field, on_sample: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Lets the label follow a limit of detection, which can only shrink what lights up."""
    before, after = lit_share(expected, on_sample), lit_share(blocks, on_sample)
    return shares if before is None or after is None else follow_lit(shares, before, min(before, after))


def _recording(rng: np.random.Generator, signal: Signal, noise: Noise | None, blurred: float) -> Field:
    return blur(signal.values, blurred) if noise is None else record(rng, signal, noise)


def _levels(rng: np.random.Generator, scene: _Scene, levels: int) -> list[float | None]:
    """Log-odds of signal over noise of each level, falling; None = no noise.

    They are drawn such that the grades of the images spread over all that are below the scene's.
    """
    if scene.kind == UNSTRUCTURED:
        drawn = rng.uniform(-2.0, 6.0, levels)
    else:
        # More levels near the scene's own grade than far below it, as real images have.
        top = max(grade_of(scene.odds), 0.5)
        drawn = np.array([odds_of(grade) for grade in top - (top - 0.2) * rng.random(levels) ** 1.5])
        drawn += _HEADROOM
    drawn = np.sort(drawn)[::-1]
    results: list[float | None] = [float(odds) for odds in drawn]
    if rng.random() < _CLEAR:
        results[0] = None
    return results


def _emitted_map(rng: np.random.Generator, frame: Frame) -> tuple[Field | None, bool]:
    """Sample map with simulated errors, or None; and whether a whole sample is small in its frame."""
    if frame.sample is None:
        return None, False
    sample = np.where(frame.measured, frame.sample, np.float32(0.0))
    coverage = float(sample.sum()) / sample.size
    outline = Silhouette(alterations.signed_depth(sample), "real")
    drawn = drop_sample_map(rng, draw_sample_map(rng, outline, frame.measured), MAP_UNKNOWN)
    return drawn, coverage < _SMALL_SAMPLE


def _small_sample(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without a map, half of the observers take a small whole sample for a confined region."""
    moved = shares.copy()
    moved[[STRUCTURED, WEAK]] *= 0.5
    moved[LOCALIZED] += float(shares[STRUCTURED] + shares[WEAK]) * 0.5
    return moved
