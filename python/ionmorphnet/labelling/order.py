"""The orders in which images are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError

Order = Literal["active", "rank"]
ORDERS: tuple[Order, ...] = get_args(Order)

# Parts of the ranking that a round visits, and the order in which it does: neighbours in a round are far apart in rank.
_PARTS = 10
_VISITS = (0, 5, 2, 7, 4, 9, 1, 6, 3, 8)


def check_order(name: str) -> Order:
    """Check the name of an order.

    Raises:
        ArgumentError: The name is unknown.
    """
    for order in ORDERS:
        if name == order:
            return order
    raise ArgumentError(f"order must be {' or '.join(ORDERS)}, not {name!r}")


def uncertainty(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of class probabilities divided by its maximum.

    Args:
        probabilities: (n, classes), rows sum to 1.

    Returns:
        float64 (n,), from 0 (one class is certain) to 1 (all are equally likely).
    """
    p = np.clip(probabilities, 1e-300, 1.0)
    entropy: NDArray[np.float64] = -(p * np.log(p)).sum(axis=1) / np.log(p.shape[1])
    return np.where(probabilities.max(axis=1) >= 1.0, 0.0, entropy)


def active_order(n: int, probabilities: NDArray[np.float64] | None, seed: str) -> list[int]:
    """Most uncertain images first, spread over the ranking.

    The ranking is divided into ten parts of equal size. Each round takes one image from every part, the one whose class
    probabilities have the highest entropy, and visits the parts in a fixed order that jumps up and down the ranking.
    So the first 10, 20, 30 ... images always span the whole ranking. Images whose class is certain (blank ones) belong
    to no part and come last. Without class probabilities, each part is taken in random order.

    Args:
        n: Number of images, in rank order.
        probabilities: Class probabilities (n, 6), or None.
        seed: Text that decides random orders; equal texts give equal orders.

    Returns:
        The numbers 0 to n - 1, each once.
    """
    if probabilities is None:
        doubt = 1.0 - generator(seed).random(n)  # above 0
    else:
        doubt = uncertainty(probabilities)
    uncertain = np.flatnonzero(doubt > 0)
    parts = [part[np.argsort(-doubt[part], kind="stable")] for part in np.array_split(uncertain, _PARTS)]
    rounds = max(len(part) for part in parts)
    order = [int(parts[k][turn]) for turn in range(rounds) for k in _VISITS if turn < len(parts[k])]
    return order + np.flatnonzero(doubt <= 0).tolist()


def second_order(items: Sequence[int], seed: str) -> list[int]:
    """Random order for the second pass over some items; it depends on the seed and on which items they are."""
    ordered = sorted(items)
    shuffled: list[int] = generator(seed).permutation(np.asarray(ordered, dtype=np.int64)).tolist()
    return shuffled


def generator(seed: str) -> np.random.Generator:
    """Random generator from a text."""
    return np.random.default_rng(list(hashlib.sha256(seed.encode()).digest()))
