"""The tiles of the fused kernels fit the GPUs they are for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ionmorphnet.scoring.torch.tiles import plan_of

KB = 1024
# Shared memory a block by compute capability, from the CUDA programming guide.
SHARED = {80: 163 * KB, 86: 99 * KB, 89: 99 * KB, 90: 227 * KB, 100: 227 * KB, 120: 99 * KB}
FIRST_DIMS = (40, 48, 64, 80, 96, 128, 192)  # Atto, femto, pico, nano, tiny, base, large; doubled from stage to stage
BLOCKS = [(first << stage, 56 >> stage) for first in FIRST_DIMS for stage in range(4)]


@pytest.mark.parametrize("shared", sorted(set(SHARED.values())))
@pytest.mark.parametrize(("dim", "side"), BLOCKS)
def test_every_size_has_tiles_that_fit(dim: int, side: int, shared: int) -> None:
    plan = plan_of(dim, side, shared)
    assert plan.expand.product_bytes <= shared
    assert plan.contract.product_bytes <= shared
    if plan.contract.rest:
        assert plan.contract.blocks[1] + plan.contract.rest == dim
    # Where they fit, all columns of Tiny's middle stages are made at once.
    if dim in (192, 384) and shared == SHARED[90]:
        assert plan.contract.rest == dim // 3


def test_products_compile_and_take_what_the_plan_counts() -> None:
    """For GPUs that are not here: Atto's first and last stage, and Tiny's where columns are split."""
    pytest.importorskip("torch", reason="needs the extra [train]")
    pytest.importorskip("triton", reason="comes with torch for CUDA")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("compile_fused_kernels.py")
    targets = [f"{capability}:{SHARED[capability]}" for capability in (89, 90)]
    blocks = ["40:56", "320:7", "192:28", "384:14"]
    done = subprocess.run(
        [sys.executable, str(script), ",".join(targets), *blocks],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    wanted = [(capability, block.split(":")[0]) for capability in ("89", "90") for block in blocks for _ in range(2)]
    assert [(capability, dim) for capability, dim, *_ in lines] == wanted
    for capability, dim, kernel, taken, counted in lines:
        assert int(taken) <= int(counted) <= SHARED[int(capability)], f"{kernel} of {dim} channels on {capability}"
