"""Draw the pictures of docs/reference/simulator.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ionmorphnet.io.rendering import contact_sheet
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation import simulate_ion_image, simulate_scene

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(20)
    images, captions = [], []
    for label, name in enumerate(CLASSES):
        found = 0
        while found < 6:
            simulated = simulate_ion_image(rng, shape=(96, 120), label=label)
            if simulated.label == label and simulated.probabilities.max() > 0.9:
                images.append(simulated.image)
                captions.append(f"{name}  {simulated.structure:.1f}")
                found += 1
    (FOLDER / "simulated_classes.png").write_bytes(contact_sheet(np.stack(images), captions, columns=6, zoom=1))
    images, captions = [], []
    rng = np.random.default_rng(3)
    while len(images) < 36:  # every second one is the sample map of the image before it
        simulated = simulate_ion_image(rng, shape=(96, 120))
        if simulated.sample.min() == simulated.sample.max():
            continue
        images += [simulated.image, np.where(simulated.mask, simulated.sample, np.float32(np.nan))]
        captions += [f"{simulated.class_name}  {simulated.structure:.1f}", "sample map"]
    (FOLDER / "simulated_sample_maps.png").write_bytes(contact_sheet(np.stack(images), captions, columns=6, zoom=1))
    images, captions = [], []
    rng = np.random.default_rng(8)
    while len(images) < 24:
        scene = simulate_scene(rng, shape=(96, 120), levels=6)
        scene = tuple(sorted(scene, key=lambda s: -s.structure))
        if scene[0].structure - scene[-1].structure < 1.5:
            continue
        images += [s.image for s in scene]
        captions += [f"{s.class_name}  {s.structure:.1f}" for s in scene]
    (FOLDER / "simulated_scenes.png").write_bytes(contact_sheet(np.stack(images), captions, columns=6, zoom=1))


if __name__ == "__main__":
    main()
