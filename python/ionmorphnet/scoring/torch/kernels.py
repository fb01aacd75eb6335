"""Fused Triton kernels for the blocks of ConvNeXt V2 at inference; ``fused`` builds the network from them.

A block is four launches instead of the eleven that a compiler makes of it: depthwise convolution and normalisation;
expansion, GELU and the squares of global response normalisation (GRN); the norms; contraction, with GRN as a scale of
what it reads, and the residual. GELU is computed once, and nothing is read or written only to be scaled. Affine parts
are folded into the matrices that follow. Sums of squares go through partial sums in a fixed order: the same input
gives the same output.

Activations are (N, H, W, C) in bfloat16, sums float32. Imported only where Triton is installed.
"""

from __future__ import annotations

import triton
import triton.language as tl

ROWS = 7  # Rows of an output tile of the depthwise convolution; divides the sides 56, 28, 14 and 7.


@triton.jit
def depthwise_norm(
    x, weight, bias, y, height, width, eps,
    C: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """y = normalised (x * weight + bias): 7 rows x BLOCK_W columns of one image, all channels; weight (7, 7, C)."""
    across = tl.cdiv(width, BLOCK_W)
    pid = tl.program_id(0)
    first_column = (pid % across) * BLOCK_W
    band = pid // across
    down = height // 7
    image = (band // down).to(tl.int64)
    first_row = (band % down) * 7
    columns = first_column + tl.arange(0, BLOCK_W)
    in_image = columns < width
    sum0 = tl.zeros([BLOCK_W], tl.float32)
    sum1 = sum0
    sum2 = sum0
    sum3 = sum0
    sum4 = sum0
    sum5 = sum0
    sum6 = sum0
    square0 = sum0
    square1 = sum0
    square2 = sum0
    square3 = sum0
    square4 = sum0
    square5 = sum0
    square6 = sum0
    image_x = x + image * height * width * C
    out = y + (image * height + first_row) * width * C
    for c in range(0, C, BLOCK_C):
        channels = c + tl.arange(0, BLOCK_C)
        known = channels < C
        start = tl.load(bias + channels, mask=known, other=0.0)[None, :] + tl.zeros([BLOCK_W, BLOCK_C], tl.float32)
        a0 = start
        a1 = start
        a2 = start
        a3 = start
        a4 = start
        a5 = start
        a6 = start
        for dx in range(7):
            taps = weight + dx * C + channels
            w0 = tl.load(taps, mask=known, other=0.0)[None, :]
            w1 = tl.load(taps + 7 * C, mask=known, other=0.0)[None, :]
            w2 = tl.load(taps + 14 * C, mask=known, other=0.0)[None, :]
            w3 = tl.load(taps + 21 * C, mask=known, other=0.0)[None, :]
            w4 = tl.load(taps + 28 * C, mask=known, other=0.0)[None, :]
            w5 = tl.load(taps + 35 * C, mask=known, other=0.0)[None, :]
            w6 = tl.load(taps + 42 * C, mask=known, other=0.0)[None, :]
            from_columns = columns + dx - 3
            inside = ((from_columns >= 0) & (from_columns < width))[:, None] & known[None, :]
            row_x = image_x + (first_row - 3) * width * C + from_columns[:, None] * C + channels[None, :]
            for i in tl.static_range(13):
                row = first_row + (i - 3)
                v = tl.load(row_x + i * width * C, mask=inside & (row >= 0) & (row < height), other=0.0).to(tl.float32)
                # Output row r takes this input row with the weights of row i - r.
                if i == 0:
                    a0 += v * w0
                if i == 1:
                    a0 += v * w1
                    a1 += v * w0
                if i == 2:
                    a0 += v * w2
                    a1 += v * w1
                    a2 += v * w0
                if i == 3:
                    a0 += v * w3
                    a1 += v * w2
                    a2 += v * w1
                    a3 += v * w0
                if i == 4:
                    a0 += v * w4
                    a1 += v * w3
                    a2 += v * w2
                    a3 += v * w1
                    a4 += v * w0
                if i == 5:
                    a0 += v * w5
                    a1 += v * w4
                    a2 += v * w3
                    a3 += v * w2
                    a4 += v * w1
                    a5 += v * w0
                if i == 6:
                    a0 += v * w6
                    a1 += v * w5
                    a2 += v * w4
                    a3 += v * w3
                    a4 += v * w2
                    a5 += v * w1
                    a6 += v * w0
                if i == 7:
                    a1 += v * w6
                    a2 += v * w5
                    a3 += v * w4
                    a4 += v * w3
                    a5 += v * w2
                    a6 += v * w1
                if i == 8:
                    a2 += v * w6
                    a3 += v * w5
                    a4 += v * w4
                    a5 += v * w3
                    a6 += v * w2
                if i == 9:
                    a3 += v * w6
                    a4 += v * w5
                    a5 += v * w4
                    a6 += v * w3
                if i == 10:
                    a4 += v * w6
                    a5 += v * w5
                    a6 += v * w4
                if i == 11:
                    a5 += v * w6
                    a6 += v * w5
                if i == 12:
                    a6 += v * w6
        sum0 += tl.sum(a0, 1)
        sum1 += tl.sum(a1, 1)
        sum2 += tl.sum(a2, 1)
        sum3 += tl.sum(a3, 1)
        sum4 += tl.sum(a4, 1)
        sum5 += tl.sum(a5, 1)
        sum6 += tl.sum(a6, 1)
        square0 += tl.sum(a0 * a0, 1)
        square1 += tl.sum(a1 * a1, 1)
        square2 += tl.sum(a2 * a2, 1)
        square3 += tl.sum(a3 * a3, 1)
        square4 += tl.sum(a4 * a4, 1)
        square5 += tl.sum(a5 * a5, 1)
        square6 += tl.sum(a6 * a6, 1)
        at = out + columns[:, None] * C + channels[None, :]
        there = in_image[:, None] & known[None, :]
        if C <= BLOCK_C:  # all channels are loaded
            _store_normed(at, a0, sum0, square0, there, eps, C)
            _store_normed(at + width * C, a1, sum1, square1, there, eps, C)
            _store_normed(at + 2 * width * C, a2, sum2, square2, there, eps, C)
            _store_normed(at + 3 * width * C, a3, sum3, square3, there, eps, C)
            _store_normed(at + 4 * width * C, a4, sum4, square4, there, eps, C)
            _store_normed(at + 5 * width * C, a5, sum5, square5, there, eps, C)
            _store_normed(at + 6 * width * C, a6, sum6, square6, there, eps, C)
        else:
            tl.store(at, a0.to(y.dtype.element_ty), mask=there)
            tl.store(at + width * C, a1.to(y.dtype.element_ty), mask=there)
            tl.store(at + 2 * width * C, a2.to(y.dtype.element_ty), mask=there)
            tl.store(at + 3 * width * C, a3.to(y.dtype.element_ty), mask=there)
            tl.store(at + 4 * width * C, a4.to(y.dtype.element_ty), mask=there)
            tl.store(at + 5 * width * C, a5.to(y.dtype.element_ty), mask=there)
            tl.store(at + 6 * width * C, a6.to(y.dtype.element_ty), mask=there)
    if C > BLOCK_C:
        tl.debug_barrier()  # the code below reads what other threads of the block wrote
        for c in range(0, C, BLOCK_C):
            channels = c + tl.arange(0, BLOCK_C)
            there = in_image[:, None] & (channels < C)[None, :]
            at = out + columns[:, None] * C + channels[None, :]
            _renorm(at, sum0, square0, there, eps, C)
            _renorm(at + width * C, sum1, square1, there, eps, C)
            _renorm(at + 2 * width * C, sum2, square2, there, eps, C)
            _renorm(at + 3 * width * C, sum3, square3, there, eps, C)
            _renorm(at + 4 * width * C, sum4, square4, there, eps, C)
            _renorm(at + 5 * width * C, sum5, square5, there, eps, C)
            _renorm(at + 6 * width * C, sum6, square6, there, eps, C)


@triton.jit
def _store_normed(at, value, total, squares, mask, eps, C: tl.constexpr):
    mean = total / C
    scale = tl.rsqrt(tl.maximum(squares / C - mean * mean, 0.0) + eps)
    tl.store(at, ((value - mean[:, None]) * scale[:, None]).to(at.dtype.element_ty), mask=mask)


@triton.jit
def _renorm(at, total, squares, mask, eps, C: tl.constexpr):
    _store_normed(at, tl.load(at, mask=mask, other=0.0).to(tl.float32), total, squares, mask, eps, C)


@triton.jit
def norm_patches(
    x, y, rows, height, width, eps,
    C: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Normalise each pixel; the four pixels of a 2 x 2 patch become neighbours."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    channels = tl.arange(0, BLOCK_C)
    mask = (row < rows)[:, None] & (channels < C)[None, :]
    v = tl.load(x + row[:, None] * C + channels[None, :], mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(v, 1) / C
    centred = tl.where(mask, v - mean[:, None], 0.0)
    normed = centred * tl.rsqrt(tl.sum(centred * centred, 1) / C + eps)[:, None]
    column = row % width
    line = (row // width) % height
    image = row // (width * height)
    patch = (image * (height // 2) + line // 2) * (width // 2) + column // 2
    target = (patch * 4 + (line % 2) * 2 + column % 2) * C
    tl.store(y + target[:, None] + channels[None, :], normed.to(y.dtype.element_ty), mask=mask)


@triton.jit
def stem(
    x, weight, bias, scale, shift, y, rows, height, width, eps,
    CHANNELS: tl.constexpr, C: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """4 x 4 patches of (N, CHANNELS, 4 height, 4 width) by weight (16 CHANNELS, C), normed: (N, height, width, C)."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    in_rows = row < rows
    column = row % width
    line = (row // width) % height
    image = (row // (width * height)).to(tl.int64)
    k = tl.arange(0, 16 * CHANNELS)
    plane = 16 * height * width
    corner = image * CHANNELS * plane + (line * 4) * (width * 4) + column * 4
    tap = (k // 16) * plane + ((k // 4) % 4) * (width * 4) + k % 4
    patches = tl.load(x + corner[:, None] + tap[None, :], mask=in_rows[:, None], other=0.0)
    channels = tl.arange(0, BLOCK_C)
    known = channels < C
    w = tl.load(weight + k[:, None] * C + channels[None, :], mask=known[None, :], other=0.0)
    v = tl.dot(patches, w) + tl.load(bias + channels, mask=known, other=0.0)[None, :]
    mean = tl.sum(v, 1) / C
    centred = tl.where(known[None, :], v - mean[:, None], 0.0)
    normed = centred * tl.rsqrt(tl.sum(centred * centred, 1) / C + eps)[:, None]
    g = tl.load(scale + channels, mask=known, other=0.0)
    b = tl.load(shift + channels, mask=known, other=0.0)
    at = y + row.to(tl.int64)[:, None] * C + channels[None, :]
    tl.store(at, (normed * g[None, :] + b[None, :]).to(y.dtype.element_ty), mask=in_rows[:, None] & known[None, :])


@triton.jit
def _tile(pid, tiles_m, tiles_n, GROUP: tl.constexpr):
    """Order tiles in groups of GROUP rows, so that tiles processed together share what they read."""
    group = pid // (GROUP * tiles_n)
    first = group * GROUP
    size = tl.minimum(tiles_m - first, GROUP)
    within = pid % (GROUP * tiles_n)
    return first + within % size, within // size


@triton.jit
def _gelu(x, FAST: tl.constexpr):
    """x times the normal distribution; FAST: through the GPU's tanh, within 5e-4 for |x| < 2 and 3e-4 |x| beyond."""
    if FAST:
        square = tl.minimum(x * x, 50.0)
        # Fitted to erf: least squares of the whole product over 0 < x < 6, largest difference 3e-5.
        argument = x * (0.797458471 + square * (0.0370503451 - 0.000358732362 * square))
        tanh = tl.inline_asm_elementwise("tanh.approx.f32 $0, $1;", "=f,f", [argument], tl.float32, True, 1)
        return x * (0.5 + 0.5 * tanh)
    else:
        return x * 0.5 * (1.0 + tl.math.erf(x * 0.7071067811865476))


@triton.jit
def expand(
    x, weight, bias, y, partial, rows, pixels,
    K: tl.constexpr, N: tl.constexpr, SPAN: tl.constexpr, FAST: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """y = GELU(x weight^T + bias); partial (tiles, SPAN, N): squares, summed over each image's rows of a tile.

    The product is made the other way round, channels by rows: then most of the sum over rows stays within a thread.
    """
    tile_m, tile_n = _tile(tl.program_id(0), tl.cdiv(rows, BLOCK_M), tl.cdiv(N, BLOCK_N), GROUP)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    in_rows = row < rows
    at_x = x + row.to(tl.int64)[:, None] * K + k[None, :]
    at_weight = weight + column[:, None] * K + k[None, :]
    total = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)
    for begin in range(0, K, BLOCK_K):
        if K % BLOCK_K == 0:
            a = tl.load(at_x + begin, mask=in_rows[:, None], other=0.0)
            b = tl.load(at_weight + begin, mask=(column < N)[:, None], other=0.0)
        else:
            left = k < K - begin
            a = tl.load(at_x + begin, mask=in_rows[:, None] & left[None, :], other=0.0)
            b = tl.load(at_weight + begin, mask=(column < N)[:, None] & left[None, :], other=0.0)
        total = tl.dot(b, tl.trans(a), total)
    value = _gelu(total + tl.load(bias + column, mask=column < N, other=0.0)[:, None], FAST)
    squares = value * value
    first = tile_m * BLOCK_M // pixels
    at_partial = partial + tile_m * SPAN * N + column
    if ((tile_m + 1) * BLOCK_M - 1) // pixels == first and (tile_m + 1) * BLOCK_M <= rows:  # one image's rows
        tl.store(at_partial, tl.sum(squares, 1), mask=column < N)
    else:
        image = tl.where(in_rows, row // pixels, -1)
        for j in tl.static_range(SPAN):
            of_image = tl.sum(tl.where((image == first + j)[None, :], squares, 0.0), 1)
            tl.store(at_partial + j * N, of_image, mask=column < N)
    mask = in_rows[:, None] & (column < N)[None, :]
    at = y + row.to(tl.int64)[:, None] * N + column[None, :]
    tl.store(at, tl.trans(value.to(y.dtype.element_ty)), mask=mask)


@triton.jit
def grn_scale(
    partial, weight, scale, pixels, eps,
    N: tl.constexpr, SPAN: tl.constexpr, TILES: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """scale = 1 + weight * g / mean(g) of one image, g the norms over its pixels."""
    image = tl.program_id(0)
    channels = tl.arange(0, BLOCK_N)
    known = channels < N
    squares = tl.zeros([BLOCK_N], tl.float32)
    first = image * pixels // BLOCK_M
    for i in range(TILES):
        tile = first + i
        slot = tile * SPAN + image - tile * BLOCK_M // pixels
        has_rows = tile * BLOCK_M < (image + 1) * pixels
        squares += tl.load(partial + slot * N + channels, mask=known & has_rows, other=0.0)
    norm = tl.sqrt(squares)
    share = norm / (tl.sum(norm, 0) / N + eps)
    value = 1.0 + tl.load(weight + channels, mask=known, other=0.0) * share
    tl.store(scale + image * N + channels, value.to(scale.dtype.element_ty), mask=known)


@triton.jit
def _scaled_product(
    at_x, at_scale, scaled_rows, at_weight, at_rest, in_rows, known, k,
    K: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, REST: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """(x * scale) weight^T for the columns of a tile and, if REST > 0, for REST further ones."""
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    rest = tl.zeros([BLOCK_M, REST if REST > 0 else 1], tl.float32)
    for begin in range(0, K, BLOCK_K):
        if K % BLOCK_K == 0:
            a = tl.load(at_x + begin, mask=in_rows, other=0.0)
            s = tl.load(at_scale + begin, mask=scaled_rows, other=0.0)
            b = tl.load(at_weight + begin, mask=known, other=0.0)
        else:
            left = (k < K - begin)[None, :]
            a = tl.load(at_x + begin, mask=in_rows & left, other=0.0)
            s = tl.load(at_scale + begin, mask=scaled_rows & left, other=0.0)
            b = tl.load(at_weight + begin, mask=known & left, other=0.0)
        a = a * s
        total = tl.dot(a, tl.trans(b), total)
        if REST > 0:
            rest = tl.dot(a, tl.trans(tl.load(at_rest + begin)), rest)
    return total, rest


@triton.jit
def _add_to_residual(total, bias, residual, y, row, column, in_rows, N: tl.constexpr):
    known = column < N
    total += tl.load(bias + column, mask=known, other=0.0)[None, :]
    at = row.to(tl.int64)[:, None] * N + column[None, :]
    mask = in_rows & known[None, :]
    total += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + at, total.to(y.dtype.element_ty), mask=mask)


@triton.jit
def contract(
    x, scale, weight, bias, residual, y, rows, pixels,
    K: tl.constexpr, N: tl.constexpr, REST: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """y = residual + (x * scale of the row's image) weight^T + bias.

    REST > 0: a program makes BLOCK_N + REST = N columns, so that x is read and scaled once; K divides by BLOCK_K.
    """
    tl.static_assert(REST == 0 or (BLOCK_N + REST == N and K % BLOCK_K == 0))
    tiles_n: tl.constexpr = 1 if REST > 0 else (N + BLOCK_N - 1) // BLOCK_N
    tile_m, tile_n = _tile(tl.program_id(0), tl.cdiv(rows, BLOCK_M), tiles_n, GROUP)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    further = BLOCK_N + tl.arange(0, REST if REST > 0 else 1)
    k = tl.arange(0, BLOCK_K)
    in_rows = (row < rows)[:, None]
    known = (column < N)[:, None]
    at_x = x + row.to(tl.int64)[:, None] * K + k[None, :]
    at_weight = weight + column[:, None] * K + k[None, :]
    at_rest = weight + further[:, None] * K + k[None, :]
    first = tile_m * BLOCK_M // pixels
    if (tl.minimum((tile_m + 1) * BLOCK_M, rows) - 1) // pixels == first:  # one image's rows: one scale for all
        at_image = scale + first * K + k[None, :]
        total, rest = _scaled_product(
            at_x, at_image, True, at_weight, at_rest, in_rows, known, k, K, BLOCK_M, BLOCK_N, REST, BLOCK_K
        )
    else:
        at_scale = scale + (row // pixels)[:, None] * K + k[None, :]
        total, rest = _scaled_product(
            at_x, at_scale, in_rows, at_weight, at_rest, in_rows, known, k, K, BLOCK_M, BLOCK_N, REST, BLOCK_K
        )
    _add_to_residual(total, bias, residual, y, row, column, in_rows, N)
    if REST > 0:
        _add_to_residual(rest, bias, residual, y, row, further, in_rows, N)
