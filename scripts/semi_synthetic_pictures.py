"""Draw real images beside semi-synthetic ones made from them, with class and grade.

Without a corpus, simulated scenes stand in for the real ones: this draws the picture of
docs/reference/training-data.md.

    python scripts/semi_synthetic_pictures.py
    python scripts/semi_synthetic_pictures.py --corpus FOLDER -o sheet.png --scenes 40
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ionmorphnet.io.rendering import colour_levels, colour_table
from ionmorphnet.labelled.real_images import read_corpora
from ionmorphnet.labelled.section_maps import with_sample_maps
from ionmorphnet.labelled.semi_synthetic import SemiSyntheticSource
from ionmorphnet.labelled.sources import Sample, Source
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation import simulate_ion_image
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.semi_synthetic import CleanScene, SemiSyntheticImage, degrade_scene, with_sample

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "semi_synthetic.png"
SIDE, GAP, TEXT = 132, 8, 30
COLUMNS = 8
UNMEASURED, BACKGROUND = (198, 198, 198), (255, 255, 255)
SHORT = ("structured", "weak", "localized", "fragmented", "unstructured", "negative")
# Changes in the picture of the documentation, each beside the scene that it was made from.
SHOWN = (
    ("counts",), ("baseline",), ("gaps",), ("threshold",), ("cropped",), ("padded",), ("masked",), ("gamma",),
    ("confined",), ("clusters",), ("surroundings",), ("inverted",), ("strip",), ("rim",), ("scattered in outline",),
    ("shuffled",),
)  # fmt: skip


def sheet(images: Sequence[Field], captions: Sequence[str]) -> Image.Image:
    """Draws images (NaN = not measured: grey) with captions of up to two lines."""
    rows = -(-len(images) // COLUMNS)
    picture = Image.new("RGB", (COLUMNS * (SIDE + GAP), rows * (SIDE + TEXT + GAP)), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    colours = np.vstack([colour_table(), np.array([UNMEASURED], dtype=np.uint8)])
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = (k % COLUMNS) * (SIDE + GAP), (k // COLUMNS) * (SIDE + TEXT + GAP)
        tile = Image.fromarray(colours[colour_levels(image)])
        scale = SIDE / max(image.shape)
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        resampling = Image.Resampling.NEAREST if scale > 1.0 else Image.Resampling.BOX
        picture.paste(tile.resize(size, resampling), (x, y + TEXT))
        draw.text((x, y), caption, fill=(0, 0, 0))
    return picture


def label(shares: Field, grade: float) -> str:
    """The classes that more than a fifth of the observers would choose, and the grade."""
    names = [SHORT[k] for k in np.argsort(-shares) if shares[k] > 0.2]
    return f"{' or '.join(names)} {grade:.1f}"


def corpus_sheet(source: Source, scenes: int, seed: int) -> Image.Image:
    """Each scene: real image, two levels made from it, and the sample map that they are given."""
    made = SemiSyntheticSource(source, 2 * scenes, seed)
    real: dict[tuple[str, str], Sample] = {}
    for k in range(len(source)):
        real[source[k].dataset, source[k].key] = source[k]
    images: list[Field] = []
    captions = []
    for scene in range(scenes):
        levels = (made[2 * scene], made[2 * scene + 1])
        dataset, key = levels[0].dataset, levels[0].key
        item = next(item for (name, start), item in real.items() if name == dataset and key.startswith(f"{start} "))
        images += [item.image, *(level.image for level in levels)]
        captions.append(f"real: {label(item.probabilities, item.structure)}")
        captions += [f"{label(level.probabilities, level.structure)}\n{changes(item, level)}" for level in levels]
        shown = levels[0].sample
        images.append(np.zeros((8, 8), dtype=np.float32) if shown is None else shown)
        captions.append("map unknown" if shown is None else "sample map")
    return sheet(images, captions)


def changes(item: Sample, level: Sample) -> str:
    """What was done to the real image."""
    return " ".join(level.key.removeprefix(item.key).split(" ")[2:]) or "as it is"


def documentation_sheet() -> Image.Image:
    """Simulated scenes in place of real ones, each with one change."""
    images, captions = [], []
    rng = np.random.default_rng(11)
    for wanted in SHOWN:
        clean, found = None, None
        while clean is None or found is None:
            clean = clear_scene(rng)
            found = first_with(rng, clean, wanted)
        images += [clean.image, found.image]
        captions += [f"scene: {label(clean.shares, clean.grade)}"]
        captions.append(f"{wanted[-1]}\n{label(found.probabilities, found.structure)}")
    return sheet(images, captions)


def clear_scene(rng: np.random.Generator) -> CleanScene:
    """A clearly structured simulated image with surroundings and its estimated sample."""
    while True:
        start = simulate_ion_image(rng, shape=(96, 120), label=CLASSES.index("structured"))
        if start.structure < 2.6 or start.probabilities.max() < 0.95 or not start.mask.all():
            continue
        clean = with_sample(CleanScene(start.image, start.probabilities, start.structure))
        if clean.sample is not None and 0.2 < clean.sample.mean() < 0.7:
            return clean


def first_with(rng: np.random.Generator, clean: CleanScene, wanted: tuple[str, ...]) -> SemiSyntheticImage | None:
    """The first of many degraded images with exactly these changes, and for noise one that is still visible."""
    for _ in range(400):
        (made,) = degrade_scene(rng, clean, levels=1)
        if made.changes == wanted and (wanted[0] not in ("counts", "baseline", "gaps") or 0.8 < made.structure < 1.8):
            return made
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="folder with real_images/ and ion_images/")
    parser.add_argument("--sources", nargs="*", help="sources of the corpus")
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    if arguments.corpus is None:
        documentation_sheet().quantize(128).save(arguments.output, optimize=True)
        return
    corpus = with_sample_maps(read_corpora(arguments.corpus, arguments.sources, may_train=True))
    corpus_sheet(corpus, arguments.scenes, arguments.seed).save(arguments.output)


if __name__ == "__main__":
    main()
