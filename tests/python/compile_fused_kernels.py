"""Compile the matrix products of the fused kernels for GPUs that are not here, and print what they need.

python compile_fused_kernels.py CAPABILITY:SHARED_BYTES,... DIM:SIDE ...   # -> capability, dim, kernel, bytes, counted
"""

import sys
from typing import Any

from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ionmorphnet.scoring.torch import kernels as kernels
from ionmorphnet.scoring.torch.tiles import Tile, plan_of

POINTERS = ("x", "weight", "bias", "y", "partial", "scale", "residual")
FLOATS = ("bias", "partial")


def shared_bytes(kernel: Any, constants: dict[str, Any], tile: Tile, capability: int) -> int:
    names = kernel.arg_names
    types = {name: "*fp32" if name in FLOATS else "*bf16" if name in POINTERS else "i32" for name in names}
    source = ASTSource(
        fn=kernel,
        signature={name: "constexpr" if name in constants else types[name] for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name in POINTERS},
    )
    options = {"num_warps": tile.warps, "num_stages": tile.stages}
    return int(compile_kernel(source, target=GPUTarget("cuda", capability, 32), options=options).metadata.shared)


def report(capability: int, limit: int, dim: int, side: int) -> None:
    plan = plan_of(dim, side, limit)
    for name, tile in (("expand", plan.expand), ("contract", plan.contract)):
        m, n, k = tile.blocks
        constants: dict[str, Any] = {"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k, "GROUP": 8}
        if name == "expand":
            span = -(-(m - 1) // side**2) + 1
            constants |= {"K": dim, "N": 4 * dim, "SPAN": span, "FAST": True}
        else:
            constants |= {"K": 4 * dim, "N": dim, "REST": tile.rest}
        taken = shared_bytes(getattr(kernels, name), constants, tile, capability)
        print(capability, dim, name, taken, tile.product_bytes)


def pair(text: str) -> tuple[int, int]:
    first, second = map(int, text.split(":"))
    return first, second


def main() -> None:
    for target in sys.argv[1].split(","):
        for block in sys.argv[2:]:
            report(*pair(target), *pair(block))


if __name__ == "__main__":
    main()
