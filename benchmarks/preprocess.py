"""Preprocessing, compared with the numpy specification and, if installed, torch. Results agree to 1e-6."""

from __future__ import annotations

import numpy as np

from benchmarks.common import Context, Row, interleaved, rows
from ionmorphnet import _core, reference

SIZES = ((49, 106), (134, 260), (250, 200))
IDS = ("p99-stretch-224-mask", "p99-stretch-112-mask", "p99-area-112-mask", "p99-area-112-mask-sqrt-sample")


def run(context: Context) -> list[Row]:
    rng = np.random.default_rng(0)
    found = []
    for height, width in SIZES:
        images = rng.gamma(0.5, 10.0, (64, height, width)).astype(np.float32)
        images[rng.random(images.shape) < 0.3] = 0
        few = images[:8]
        expected = reference.preprocess.preprocess(few, "p99-stretch-224")
        assert np.abs(_core.preprocess(few, "p99-stretch-224") - expected).max() < 1e-6
        tools = {
            "ionmorphnet": lambda x=images: _core.preprocess(x, "p99-stretch-224"),
            "ionmorphnet, 1 thread": lambda x=images: _core.preprocess(x, "p99-stretch-224", threads=1),
        }
        torch_call = _torch(images)
        if torch_call is not None:
            tools["torch, one by one"] = torch_call
        seconds = interleaved(tools, context.repeat)
        per_image = {tool: value / len(images) for tool, value in seconds.items()}
        numpy_s = interleaved({"numpy": lambda x=few: reference.preprocess.preprocess(x, "p99-stretch-224")}, 2)
        per_image["numpy specification"] = numpy_s["numpy"] / len(few)
        found += rows(f"{height} x {width}, per image", per_image, ours="ionmorphnet")
        mask = np.ones((height, width), np.uint8)
        sample = rng.random((height, width), dtype=np.float32)
        for each in IDS:
            expected = reference.preprocess.preprocess(few, each, mask, sample)
            assert np.abs(_core.preprocess(few, each, mask, sample) - expected).max() < 1e-6
        calls = {
            each: lambda x=images, i=each, m=mask, s=sample: _core.preprocess(x, i, m, s, threads=1) for each in IDS
        }
        per_id = {each: value / len(images) for each, value in interleaved(calls, context.repeat).items()}
        found += rows(f"{height} x {width}, per image, 1 thread", per_id, ours=IDS[0])
    return found


def _torch(images: np.ndarray):
    try:
        import torch
    except ImportError:
        return None

    def call() -> None:
        for image in images:
            x = torch.from_numpy(image)
            q = torch.quantile(x.flatten(), 0.99).clamp_min(1e-6)
            x = (x / q).clamp(0, 1)[None, None]
            torch.nn.functional.interpolate(x, (224, 224), mode="bilinear", align_corners=False)

    return call
