"""Operations of the networks in numpy and float32, which define a graph independently of any runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import IonMorphNetError

Array = NDArray[Any]
Attributes = dict[str, Any]

_erf_of = np.frompyfunc(math.erf, 1, 1)


def _erf(x: Array) -> Array:
    return np.asarray(_erf_of(x.astype(np.float64)), np.float64)


def gelu(x: Array) -> Array:
    """``x (1 + erf(x / sqrt 2)) / 2``, computed in float64 and rounded to float32."""
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):  # minus infinity times 0
        result = 0.5 * wide * (1.0 + _erf(wide / math.sqrt(2.0)))
    return result.astype(np.float32)


def conv(attributes: Attributes, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Convolution of (N, C, H, W), dense or depthwise: one product per kernel tap, summed in float32."""
    groups, dilations = attributes.get("group", 1), list(attributes.get("dilations", [1, 1]))
    depthwise = groups == x.shape[1] == weight.shape[0] and weight.shape[1] == 1
    if (not depthwise and groups != 1) or dilations != [1, 1]:
        raise IonMorphNetError("a convolution in groups or with dilation is not supported")
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
        raise IonMorphNetError("a convolution with automatic padding is not supported")
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    sy, sx = attributes.get("strides", [1, 1])
    if top or left or bottom or right:
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    ky, kx = weight.shape[2:]
    height, width = (x.shape[2] - ky) // sy + 1, (x.shape[3] - kx) // sx + 1
    out = np.zeros((len(x), weight.shape[0], height, width), np.float32)
    for i in range(ky):
        for j in range(kx):
            part = x[:, :, i : i + (height - 1) * sy + 1 : sy, j : j + (width - 1) * sx + 1 : sx]
            if depthwise:
                out += part * weight[:, 0, i, j, None, None]
            else:
                flat = np.matmul(weight[:, :, i, j], np.ascontiguousarray(part).reshape(len(x), x.shape[1], -1))
                out += flat.reshape(out.shape)
    return out if bias is None else out + bias[:, None, None]


def gemm(attributes: Attributes, a: Array, b: Array, c: Array | None = None) -> Array:
    """``alpha a b + beta c``."""
    a = a.T if attributes.get("transA", 0) else a
    b = b.T if attributes.get("transB", 0) else b
    out = np.float32(attributes.get("alpha", 1.0)) * (a @ b)
    return out if c is None else out + np.float32(attributes.get("beta", 1.0)) * c


def layer_norm(attributes: Attributes, x: Array, scale: Array, shift: Array | None = None) -> Array:
    """Normalises to zero mean and unit variance over the last axes, then scales and shifts."""
    axes = tuple(range(attributes.get("axis", -1) % x.ndim, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    variance = (centred * centred).mean(axes, keepdims=True)
    out: Array = centred / np.sqrt(variance + np.float32(attributes.get("epsilon", 1e-5))) * scale
    return out if shift is None else out + shift


def _reduce(function: Callable[..., Array]) -> Callable[..., Array]:
    def run(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
        over: Sequence[int] = attributes.get("axes", ()) if axes is None else axes.reshape(-1).tolist()
        if not over and attributes.get("noop_with_empty_axes", 0):
            return x
        return function(x, axis=tuple(over) or None, keepdims=bool(attributes.get("keepdims", 1)))

    return run


def _norm2(x: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
    return np.asarray(np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims, dtype=x.dtype)))


def _reshape(attributes: Attributes, x: Array, shape: Array) -> Array:
    sizes = [
        x.shape[i] if size == 0 and not attributes.get("allowzero", 0) else size
        for i, size in enumerate(shape.reshape(-1).tolist())
    ]
    return x.reshape(sizes)


def _flatten(attributes: Attributes, x: Array) -> Array:
    return x.reshape(math.prod(x.shape[: attributes.get("axis", 1)]), -1)


# By ONNX name: (attributes, inputs...) -> output. Omitted inputs are None.
OPERATIONS: dict[str, Callable[..., Array]] = {
    "Add": lambda _, a, b: a + b,
    "Concat": lambda attributes, *parts: np.concatenate(parts, attributes["axis"]),
    "Conv": conv,
    "Div": lambda _, a, b: a / b,
    "Erf": lambda _, x: _erf(x).astype(np.float32),
    "Flatten": _flatten,
    "Gelu": lambda _, x: gelu(x),
    "Gemm": gemm,
    "GlobalAveragePool": lambda _, x: x.mean(tuple(range(2, x.ndim)), keepdims=True),
    "Identity": lambda _, x: x,
    "LayerNormalization": layer_norm,
    "MatMul": lambda _, a, b: a @ b,
    "Mul": lambda _, a, b: a * b,
    "Pow": lambda _, a, b: a**b,
    "Reciprocal": lambda _, x: np.float32(1.0) / x,
    "ReduceL2": _reduce(_norm2),
    "ReduceMean": _reduce(np.mean),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Sqrt": lambda _, x: np.sqrt(x),
    "Sub": lambda _, a, b: a - b,
    "Transpose": lambda attributes, x: x.transpose(attributes["perm"]),
}
