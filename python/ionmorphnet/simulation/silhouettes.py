"""Sample outlines on the pixel grid: blobs, lobes, several pieces, symmetric sections, cropped or full frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field, fractal_field, smooth_field

_ANGLES = 1024


@dataclass(frozen=True)
class Silhouette:
    """Outline of the sample.

    Attributes:
        depth: float32 (H, W): 0 at the edge of the sample, about 1 at its deepest point, negative outside.
        kind: Name of the shape family.
        mirror: Whether the sample is symmetric about the vertical middle line.
    """

    depth: Field
    kind: str
    mirror: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the pixel grid."""
        return self.depth.shape[0], self.depth.shape[1]

    @property
    def tissue(self) -> NDArray[np.bool_]:
        """bool (H, W): pixels on the sample."""
        inside: NDArray[np.bool_] = self.depth > 0
        return inside


def frame_coordinates(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Vertical and horizontal coordinate (v, u) of each pixel, from -1 to 1 over the frame."""
    v = np.linspace(-1.0, 1.0, shape[0], dtype=np.float32)[:, None]
    u = np.linspace(-1.0, 1.0, shape[1], dtype=np.float32)[None, :]
    return np.broadcast_to(v, shape), np.broadcast_to(u, shape)


def star(
    rng: np.random.Generator,
    v: Field,
    u: Field,
    *,
    centre: tuple[float, float],
    radius: float,
    aspect: float,
    lobes: float,
) -> Field:
    """Depth below the outline of one star-shaped blob.

    Args:
        rng: Source of randomness for outline and orientation.
        v: Vertical frame coordinate, float32 (H, W).
        u: Horizontal frame coordinate, float32 (H, W).
        centre: (v, u) of the blob.
        radius: Mean radius in frame coordinates.
        aspect: Ratio of the two axes.
        lobes: Strength of the harmonics of the outline; 0 is an ellipse.

    Returns:
        float32 (H, W): 1 at the centre, 0 on the outline, negative outside.
    """
    angle = rng.uniform(0.0, 2.0 * np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dv, du = v - np.float32(centre[0]), u - np.float32(centre[1])
    stretch = np.sqrt(aspect)
    a = (cos * du + sin * dv) * np.float32(1.0 / stretch)
    b = (cos * dv - sin * du) * np.float32(stretch)
    theta = np.linspace(-np.pi, np.pi, _ANGLES + 1)
    outline = np.ones_like(theta)
    for k in range(2, 9):
        outline += rng.normal(0.0, lobes / k) * np.cos(k * theta + rng.uniform(0.0, 2.0 * np.pi))
    inverse = (1.0 / (radius * np.maximum(outline, 0.25))).astype(np.float32)
    index = ((np.arctan2(b, a) + np.float32(np.pi)) * np.float32(_ANGLES / (2.0 * np.pi))).astype(np.int32)
    depth: Field = 1.0 - np.hypot(a, b) * inverse[index]
    return depth


def _warped(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> tuple[Field, Field]:
    v, u = frame_coordinates(shape)
    scale = (shape[0] / rng.uniform(1.5, 5.0), shape[1] / rng.uniform(1.5, 5.0))
    return v + np.float32(strength) * smooth_field(rng, shape, scale), u + np.float32(strength) * smooth_field(
        rng, shape, scale
    )


def _blob(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    v, u = _warped(rng, shape, rng.uniform(0.0, 0.12))
    return star(
        rng,
        v,
        u,
        centre=(rng.normal(0.0, 0.08), rng.normal(0.0, 0.08)),
        radius=rng.uniform(0.6, 0.95),
        aspect=rng.uniform(1.0, 1.5),
        lobes=rng.uniform(0.0, 0.35),
    )


def _cut(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    v, u = _warped(rng, shape, rng.uniform(0.0, 0.12))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    shift = rng.uniform(0.5, 1.3)
    return star(
        rng,
        v,
        u,
        centre=(shift * np.sin(angle), shift * np.cos(angle)),
        radius=rng.uniform(1.0, 1.6),
        aspect=rng.uniform(1.0, 1.8),
        lobes=rng.uniform(0.0, 0.35),
    )


def _full(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    depth: Field = np.float32(0.6) + np.float32(0.15) * smooth_field(rng, shape, max(shape) / 2.5)
    return np.maximum(depth, np.float32(0.05))


def _lobed(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    v, u = frame_coordinates(shape)
    size = max(min(shape) / rng.uniform(1.5, 4.0), 3.0)
    envelope = 1.0 - np.hypot(v, u) * np.float32(1.0 / rng.uniform(0.8, 1.1))
    depth: Field = envelope + np.float32(rng.uniform(0.2, 0.45)) * fractal_field(rng, shape, size)
    return np.minimum(depth, np.float32(1.0))


def _pieces(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    v, u = _warped(rng, shape, rng.uniform(0.0, 0.06))
    if rng.random() < 0.3:  # grid of cores, as in a tissue microarray
        rows, cols = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        centres = [((2 * r + 1) / rows - 1.0, (2 * c + 1) / cols - 1.0) for r in range(rows) for c in range(cols)]
        radius = rng.uniform(0.6, 0.95) / max(rows, cols)
    else:
        n = int(rng.integers(2, 6))
        centres = [(rng.uniform(-0.75, 0.75), rng.uniform(-0.75, 0.75)) for _ in range(n)]
        radius = rng.uniform(0.6, 1.0) / np.sqrt(n)
    lobes = rng.uniform(0.0, 0.3)
    depth = np.full(shape, -2.0, dtype=np.float32)
    for centre in centres:
        size = radius * rng.uniform(0.7, 1.2)
        np.maximum(
            depth, star(rng, v, u, centre=centre, radius=size, aspect=rng.uniform(1.0, 1.8), lobes=lobes), out=depth
        )
    return depth


def _symmetric(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    v, u = frame_coordinates(shape)
    half = np.abs(u)
    wobble = smooth_field(rng, shape, (shape[0] / 4.0, shape[1] / 4.0))
    half = half + np.float32(rng.uniform(0.0, 0.06)) * (wobble + wobble[:, ::-1])
    depth = star(
        rng, v, half, centre=(rng.normal(0.0, 0.1), 0.0), radius=rng.uniform(0.65, 0.95), aspect=1.0, lobes=0.15
    )
    for _ in range(int(rng.integers(0, 3))):  # lateral lobes in pairs
        centre = (rng.uniform(-0.6, 0.6), rng.uniform(0.4, 0.8))
        lobe = star(rng, v, half, centre=centre, radius=rng.uniform(0.2, 0.45), aspect=1.4, lobes=0.15)
        np.maximum(depth, lobe, out=depth)
    return depth


def _add_damage(rng: np.random.Generator, depth: Field) -> Field:
    """Adds fissures, holes and a rough edge."""
    shape = (depth.shape[0], depth.shape[1])
    v, u = frame_coordinates(shape)
    if rng.random() < 0.4:
        rough = fractal_field(rng, shape, max(min(shape) / rng.uniform(8.0, 25.0), 2.0), octaves=2)
        depth = depth + np.float32(rng.uniform(0.01, 0.08)) * rough
    if rng.random() < 0.2:
        line = smooth_field(rng, shape, max(shape) / rng.uniform(1.5, 4.0))
        depth = np.minimum(depth, np.abs(line) * np.float32(rng.uniform(3.0, 8.0)) - np.float32(0.15))
    if rng.random() < 0.3:  # one winding cavity, such as a lumen
        centre = (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5))
        hole = star(
            rng,
            v,
            u,
            centre=centre,
            radius=rng.uniform(0.08, 0.35),
            aspect=rng.uniform(1, 2.5),
            lobes=rng.uniform(0, 1),
        )
        depth = np.minimum(depth, -hole * np.float32(1.5))
    return depth


_KINDS: dict[str, tuple[float, Callable[[np.random.Generator, tuple[int, int]], Field]]] = {
    "blob": (0.28, _blob),
    "cut": (0.22, _cut),
    "full": (0.08, _full),
    "lobed": (0.12, _lobed),
    "pieces": (0.15, _pieces),
    "symmetric": (0.15, _symmetric),
}


def draw_silhouette(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    coverage: tuple[float, float] = (0.08, 1.0),
    family: str | None = None,
) -> Silhouette:
    """Draws the outline of a sample.

    Args:
        rng: Source of randomness.
        shape: (H, W) in pixels.
        coverage: Smallest and largest share of the frame that the sample may cover.
        family: Name of the shape family; by default drawn.

    Returns:
        The silhouette. After four misses, the last outline is shifted to the nearest allowed coverage.
    """
    names = list(_KINDS)
    weights = np.array([_KINDS[name][0] for name in names])
    if coverage[1] < 1.0:
        weights[names.index("full")] = 0.0
    weights = weights / weights.sum()
    depth, kind = np.zeros(shape, dtype=np.float32), ""
    for _ in range(4):
        kind = names[int(rng.choice(len(names), p=weights))] if family is None else family
        depth = _KINDS[kind][1](rng, shape)
        if kind != "full":
            depth = _add_damage(rng, depth)
        covered = float(np.mean(depth > 0))
        if coverage[0] <= covered <= coverage[1]:
            break
    else:
        target = np.clip(covered, coverage[0], min(coverage[1], 0.98))
        depth = depth - np.float32(np.quantile(depth, 1.0 - target))
    return Silhouette(np.ascontiguousarray(depth, dtype=np.float32), kind, kind == "symmetric")
