"""Small networks and files of weights for the tests of the export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ionmorphnet.models.networks.convnextv2 import SIZES, ConvNeXtV2, Size

# A network of the same parts as the published ones that exports in a second. Matrices as in the larger sizes.
SPECK = "convnextv2_speck"
SPECK_SIZE = Size((1, 1, 2, 1), (8, 16, 24, 32), False)


def add_speck(monkeypatch: Any) -> str:
    """Make ``convnextv2_speck`` known for a test."""
    monkeypatch.setitem(SIZES, SPECK, SPECK_SIZE)
    return SPECK


def shaken(architecture: str, seed: int = 0, **options: Any) -> ConvNeXtV2:
    """A network whose norms and biases differ from their start, so that mistakes in them show."""
    torch.manual_seed(seed)
    net = ConvNeXtV2(architecture, **options)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return net.eval()


def write_weights(path: Path, net: ConvNeXtV2, **changes: Any) -> Path:
    """A file as the training leaves it."""
    uses_statistics = net.head.statistics is not None
    content = {
        "format": 1,
        "architecture": net.name,
        "in_chans": net.in_chans,
        "extra_outputs": {name: head.out_features for name, head in net.head.extra.items()},
        "statistics": ["moran", "blur", "chaos", "coverage"] if uses_statistics else [],
        "preprocessing": "p99-stretch-224-mask" if net.in_chans == 2 else "p99-stretch-224",
        "weights": net.state_dict(),
        "recipe": {"seed": 3, "phases": [{"size": 64, "images": 8}]},
        "provenance": {"images_seen": 8, "best_loss": float("inf")},
        "step": 1,
    }
    torch.save({key: value for key, value in (content | changes).items() if value is not None}, path)
    return path
