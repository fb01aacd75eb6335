"""Anatomy of a sample: compartments, layers, rims, ducts, gradients, confined regions and scattered clusters.

Each function returns the relative abundance on the whole frame, float32 (H, W), roughly 0 to 1. The caller masks it
with the sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field, fractal_field, ramp, smooth_field, smoothstep
from ionmorphnet.simulation.silhouettes import Silhouette, frame_coordinates, star


def _field(rng: np.random.Generator, silhouette: Silhouette, scale: float, octaves: int = 1) -> Field:
    """Smooth field with the mirror symmetry of the sample."""
    field = fractal_field(rng, silhouette.shape, scale, octaves)
    if silhouette.mirror:
        mirrored: Field = (field + field[:, ::-1]) * np.float32(0.75)
        return mirrored
    return field


def _scale(rng: np.random.Generator, silhouette: Silhouette, fine: float, coarse: float) -> float:
    """Correlation length between 1/fine and 1/coarse of the short side."""
    return max(min(silhouette.shape) / rng.uniform(coarse, fine), 1.5)


def compartment_labels(rng: np.random.Generator, silhouette: Silhouette, n: int) -> NDArray[np.int64]:
    """Partition of the sample into n compartments with smooth borders, int64 (H, W) in [0, n)."""
    scale = _scale(rng, silhouette, 6.0, 2.0)
    octaves = int(rng.integers(1, 4))
    best = _field(rng, silhouette, scale, octaves) + np.float32(rng.normal(0.0, 1.0)) * silhouette.depth
    labels = np.zeros(silhouette.shape, dtype=np.int64)
    for k in range(1, n):
        other = _field(rng, silhouette, scale, octaves) + np.float32(rng.normal(0.0, 1.0)) * silhouette.depth
        winner = other > best
        labels[winner] = k
        np.copyto(best, other, where=winner)
    return labels


def compartments(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Compartments with different levels."""
    n = int(rng.integers(2, 7))
    levels = rng.beta(0.7, 0.7, size=n).astype(np.float32)
    levels[int(rng.integers(n))] = 1.0
    return levels[compartment_labels(rng, silhouette, n)]


def layers(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Layers parallel to the outline, as in a cortex or a gut wall."""
    n = int(rng.integers(2, 6))
    wobble = np.float32(rng.uniform(0.0, 0.12)) * _field(rng, silhouette, _scale(rng, silhouette, 8.0, 2.0), 2)
    edges = np.sort(rng.uniform(0.03, 0.85, size=n - 1)).astype(np.float32)
    levels = rng.beta(0.7, 0.7, size=n).astype(np.float32)
    levels[int(rng.integers(n))] = 1.0
    return levels[np.searchsorted(edges, silhouette.depth + wobble)]


def ribbons(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Winding bands: white matter, ducts, epithelium."""
    field = _field(rng, silhouette, _scale(rng, silhouette, 8.0, 2.0), int(rng.integers(1, 3)))
    distance = (field - np.float32(rng.normal(0.0, 0.6))) * np.float32(1.0 / rng.uniform(0.12, 0.5))
    band: Field = np.exp(-(distance**2))
    return band


def spots(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Many small round structures: follicles, glomeruli, islets."""
    field = _field(rng, silhouette, _scale(rng, silhouette, 25.0, 8.0))
    return smoothstep(field, rng.uniform(0.6, 1.6), rng.uniform(0.1, 0.4))


def gradient(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Slow change across the sample, linear or towards the core."""
    if rng.random() < 0.5:
        return ramp(rng, silhouette.shape)
    core: Field = np.clip(silhouette.depth, 0.0, 1.0)
    return core if rng.random() < 0.5 else 1.0 - core


def rim(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Edge of the sample."""
    width = rng.uniform(0.06, 0.3)
    return 1.0 - smoothstep(silhouette.depth, width, width * rng.uniform(0.1, 0.6))


def lining(rng: np.random.Generator, silhouette: Silhouette, centre: tuple[float, float]) -> Field:
    """Lining of one folded cavity, such as an epithelium around a lumen."""
    v, u = frame_coordinates(silhouette.shape)
    fold = np.float32(rng.uniform(0.05, 0.2))
    scale = _scale(rng, silhouette, 7.0, 3.0)
    v, u = v + fold * smooth_field(rng, silhouette.shape, scale), u + fold * smooth_field(rng, silhouette.shape, scale)
    lobes = rng.uniform(0.2, 1.0)
    cavity = star(rng, v, u, centre=centre, radius=rng.uniform(0.2, 0.6), aspect=rng.uniform(1.0, 2.0), lobes=lobes)
    distance = cavity * np.float32(1.0 / rng.uniform(0.1, 0.3))
    band: Field = np.exp(-(distance**2))
    return band


def network(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Meshes of fibres, vessels or cell borders: fine winding bands that cross."""
    mesh = np.zeros(silhouette.shape, dtype=np.float32)
    scale = _scale(rng, silhouette, 25.0, 5.0)
    sharp = np.float32(1.0 / rng.uniform(0.12, 0.35))
    for _ in range(int(rng.integers(1, 4))):
        distance = _field(rng, silhouette, scale, 2) * sharp
        np.maximum(mesh, np.exp(-(distance**2)), out=mesh)
    return mesh


def nested(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Nested, sharply bounded parts around a centre of their own: nuclei of a brain, a seed in its shell."""
    v, u = frame_coordinates(silhouette.shape)
    if silhouette.mirror:
        u = np.abs(u)
    centre = (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5))
    lobes = rng.uniform(0.0, 0.5)
    depth = star(rng, v, u, centre=centre, radius=rng.uniform(0.25, 0.9), aspect=rng.uniform(1.0, 2.2), lobes=lobes)
    n = int(rng.integers(2, 5))
    edges = np.append(0.0, np.sort(rng.uniform(0.08, 0.85, size=n - 1))).astype(np.float32)
    levels = np.append(rng.uniform(0.0, 0.5), rng.beta(0.7, 0.7, size=n)).astype(np.float32)
    levels[1 + int(rng.integers(n))] = 1.0
    return levels[np.searchsorted(edges, depth)]


def hot_strip(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Small and very bright: a strip along one edge, a stretch of the rim, or a few spots."""
    kind = rng.random()
    if kind < 0.4:
        return smoothstep(ramp(rng, silhouette.shape), rng.uniform(0.72, 0.93), rng.uniform(0.005, 0.05))
    if kind < 0.75:
        width = rng.uniform(0.03, 0.12)
        edge = 1.0 - smoothstep(silhouette.depth, width, width * rng.uniform(0.2, 0.8))
        part = smoothstep(smooth_field(rng, silhouette.shape, max(silhouette.shape) / 2.0), rng.uniform(-0.8, 0.8), 0.3)
        stretch: Field = edge * part
        return stretch
    field = _field(rng, silhouette, _scale(rng, silhouette, 14.0, 5.0))
    return smoothstep(field, rng.uniform(1.5, 2.2), rng.uniform(0.05, 0.3))


def texture(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Fine modulation around 1, not negative."""
    amplitude = rng.uniform(0.0, 0.3)
    field = fractal_field(rng, silhouette.shape, _scale(rng, silhouette, 40.0, 6.0), 2)
    modulation: Field = np.maximum(np.float32(1.0) + np.float32(amplitude) * field, np.float32(0.0))
    return modulation


_PATTERNS = (compartments, layers, ribbons, spots, gradient, rim, network, nested)
_PATTERN_WEIGHTS = np.array([0.23, 0.15, 0.15, 0.08, 0.1, 0.07, 0.1, 0.12])
# Share of ions of the whole sample with a small, very bright part over faint anatomy.
_HOT = 0.1


def whole_sample(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Ion present throughout the sample, with anatomy; float32 (H, W), 0 outside the sample."""
    n = int(rng.choice(4, p=[0.08, 0.35, 0.37, 0.2]))
    if silhouette.kind == "full":
        n = max(n, 1)  # without an outline, only the anatomy is visible
    base = rng.uniform(0.35, 1.0) if n == 0 or rng.random() < 0.5 else rng.uniform(0.06, 0.35)
    field = np.full(silhouette.shape, base, dtype=np.float32)
    for _ in range(n):
        pattern = _PATTERNS[int(rng.choice(len(_PATTERNS), p=_PATTERN_WEIGHTS))](rng, silhouette)
        if rng.random() < 0.25:
            field *= np.float32(1.0) - np.float32(rng.uniform(0.4, 0.95)) * pattern
        else:
            field += np.float32(rng.uniform(0.3, 1.0)) * pattern
    field *= texture(rng, silhouette)
    if rng.random() < _HOT:
        field *= np.float32(rng.uniform(0.04, 0.3) / max(float(field.max()), 1e-6))
        field += hot_strip(rng, silhouette)
    return _on_sample(rng, field, silhouette)


def confined_region(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Ion of one or two confined regions of the sample; float32 (H, W), 0 outside the sample."""
    v, u = frame_coordinates(silhouette.shape)
    inside = np.argwhere(silhouette.depth > 0.05)
    field = np.zeros(silhouette.shape, dtype=np.float32)
    for _ in range(1 + int(rng.random() < 0.3)):
        y, x = inside[int(rng.integers(len(inside)))] if len(inside) else (0, 0)
        window = star(
            rng,
            v,
            u,
            centre=(float(v[y, x]), float(u[y, x])),
            radius=rng.uniform(0.1, 0.5),
            aspect=rng.uniform(1.0, 2.5),
            lobes=rng.uniform(0.0, 0.4),
        )
        kind = rng.random()
        if kind < 0.32:
            region = smoothstep(window, 0.1, rng.uniform(0.03, 0.3))
        elif kind < 0.47:  # the lining of a folded cavity
            region = lining(rng, silhouette, (float(v[y, x]), float(u[y, x])))
        elif kind < 0.62:  # a stretch of the rim
            region = rim(rng, silhouette) * smoothstep(window + np.float32(0.5), 0.3, 0.3)
        elif kind < 0.8:  # a piece of a winding band
            region = ribbons(rng, silhouette) * smoothstep(window + np.float32(0.4), 0.2, 0.2)
        else:
            labels = compartment_labels(rng, silhouette, int(rng.integers(4, 9)))
            region = (labels == labels[y, x]).astype(np.float32) * smoothstep(window + np.float32(0.6), 0.2, 0.2)
        np.maximum(field, np.float32(rng.uniform(0.5, 1.0)) * region, out=field)
    if rng.random() < 0.15:
        labels = compartment_labels(rng, silhouette, int(rng.integers(2, 5)))
        field *= np.float32(rng.uniform(0.5, 0.9)) + np.float32(0.3) * (labels == 0)
    rest = rng.uniform(0.0, 0.1) if rng.random() < 0.6 else 0.0
    field = np.float32(rest) + (np.float32(1.0) - np.float32(rest)) * field
    field *= texture(rng, silhouette)
    return _on_sample(rng, field, silhouette)


def dominant_compartment(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Ion of one kind of tissue, with less of it elsewhere in the sample; float32 (H, W), 0 outside the sample.

    The level elsewhere is 0 to one half, so these images range from confined regions to a whole sample.
    """
    kind = rng.random()
    if kind < 0.25:
        labels = compartment_labels(rng, silhouette, int(rng.integers(3, 8)))
        field = (labels == int(rng.integers(int(labels.max()) + 1))).astype(np.float32)
    elif kind < 0.35:
        field = network(rng, silhouette)
    elif kind < 0.5:
        field = ribbons(rng, silhouette)
    elif kind < 0.7:  # folded linings of one to three cavities
        inside = np.argwhere(silhouette.depth > 0.1)
        field = np.zeros(silhouette.shape, dtype=np.float32)
        v, u = frame_coordinates(silhouette.shape)
        for _ in range(int(rng.integers(1, 4))):
            y, x = inside[int(rng.integers(len(inside)))] if len(inside) else (0, 0)
            np.maximum(field, lining(rng, silhouette, (float(v[y, x]), float(u[y, x]))), out=field)
    elif kind < 0.85:
        field = rim(rng, silhouette)
        if rng.random() < 0.5:  # brighter on one side
            field *= ramp(rng, silhouette.shape) ** np.float32(rng.uniform(0.5, 2.0))
    else:
        low = rng.uniform(0.0, 0.6)
        field = smoothstep(silhouette.depth, low + rng.uniform(0.2, 0.4), rng.uniform(0.02, 0.15))
    rest = 0.0 if rng.random() < 0.25 else rng.uniform(0.0, 0.2) if rng.random() < 0.6 else rng.uniform(0.2, 0.5)
    elsewhere = np.full(silhouette.shape, rest, dtype=np.float32)
    if rng.random() < 0.5:
        elsewhere *= np.float32(0.4) + compartments(rng, silhouette)
    field = np.maximum(field, elsewhere) * texture(rng, silhouette)
    return _on_sample(rng, field, silhouette)


def scattered_clusters(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Several separate clusters without a common shape; float32 (H, W)."""
    short = min(silhouette.shape)
    on_sample = rng.random() < 0.7
    clusters = np.zeros(silhouette.shape, dtype=np.float32)
    for _ in range(4):
        field = fractal_field(rng, silhouette.shape, max(short / rng.uniform(7.0, 22.0), 2.0), int(rng.integers(1, 3)))
        clusters = smoothstep(field, rng.uniform(1.3, 2.1), rng.uniform(0.1, 0.4))
        # Dropped in patches, because evenly spread clusters would look like spots.
        keep = smooth_field(rng, silhouette.shape, short / rng.uniform(2.0, 6.0)) > rng.uniform(-1.5, 0.0)
        clusters = clusters * keep
        if on_sample:
            clusters = _on_sample(rng, clusters, silhouette)
        cells = [
            cell.max(initial=0.0) for rows in np.array_split(clusters, 4) for cell in np.array_split(rows, 4, axis=1)
        ]
        if sum(cell > 0.4 for cell in cells) >= 4:  # fewer would be a confined region
            break
    return clusters


def off_sample(rng: np.random.Generator, silhouette: Silhouette) -> Field:
    """Matrix ion, bright outside the sample; float32 (H, W)."""
    outside = smoothstep(-silhouette.depth, rng.uniform(-0.02, 0.04), rng.uniform(0.01, 0.08))
    level = np.ones(silhouette.shape, dtype=np.float32)
    kind = rng.random()
    if kind < 0.3:
        level *= np.float32(rng.uniform(0.2, 0.6)) + np.float32(0.7) * ramp(rng, silhouette.shape)
    elif kind < 0.55:  # halo of delocalised analyte around the sample, or a depleted zone
        near = np.exp(np.minimum(silhouette.depth, 0.0) * np.float32(1.0 / rng.uniform(0.1, 0.6)))
        level *= np.float32(1.0) + np.float32(rng.uniform(-0.7, 1.5)) * near
    elif kind < 0.75:
        cloud = fractal_field(rng, silhouette.shape, max(silhouette.shape) / rng.uniform(2.0, 6.0))
        level *= np.clip(1.0 + np.float32(rng.uniform(0.15, 0.5)) * cloud, 0.1, None)
    rest = rng.uniform(0.0, 0.03) if rng.random() < 0.5 else rng.uniform(0.03, 0.35)
    sample = np.full(silhouette.shape, rest, dtype=np.float32)
    if rng.random() < 0.4:
        sample *= np.float32(0.4) + compartments(rng, silhouette)
    result: Field = np.maximum(level, 0.0) * outside + sample * (np.float32(1.0) - outside)
    return result * texture(rng, silhouette)


def _on_sample(rng: np.random.Generator, field: Field, silhouette: Silhouette) -> Field:
    """Masks with the sample; the edge may be sharp or blurred."""
    width = rng.uniform(0.005, 0.03) if rng.random() < 0.8 else rng.uniform(0.03, 0.12)
    masked: Field = np.maximum(field, 0.0) * smoothstep(silhouette.depth, 0.0, width)
    return masked
