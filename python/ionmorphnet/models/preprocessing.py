"""Preprocessing ids: which network input is made of an ion image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError

Resize = Literal["stretch", "area"]


@dataclass(frozen=True)
class Preprocessing:
    """A parsed preprocessing id, ``p99-(stretch|area)-SIZE[-mask][-sqrt][-sample]``.

    The specification is :func:`ionmorphnet.reference.preprocess.preprocess`.

    Attributes:
        resize: ``stretch``: bilinear without antialiasing; ``area``: antialiased where the image shrinks.
        size: Side of the network's input in pixels, a multiple of 16 from 32 to 384.
        mask: Whether the measured pixels are a channel and alone count for the quantile.
        sqrt: Whether the square root of the clipped image is a channel.
        sample: Whether the sample map of the section is a channel.
    """

    resize: Resize = "stretch"
    size: int = 224
    mask: bool = False
    sqrt: bool = False
    sample: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ArgumentError: There is no such preprocessing.
        """
        if self.resize not in ("stretch", "area"):
            raise ArgumentError(f"resize must be stretch or area, got {self.resize!r}")
        _core.parse_preprocess_id(str(self))

    @classmethod
    def parse(cls, preprocess_id: str) -> Preprocessing:
        """Parse an id.

        Raises:
            ArgumentError: The id is not in the grammar.
        """
        resize, size, mask, sqrt, sample = _core.parse_preprocess_id(preprocess_id)
        return cls(cast(Resize, resize), size, mask, sqrt, sample)

    def __str__(self) -> str:
        """The id."""
        return f"p99-{self.resize}-{self.size}{''.join(f'-{name}' for name in self.channels[1:])}"

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels in order: image, mask, sqrt, sample."""
        optional = {"mask": self.mask, "sqrt": self.sqrt, "sample": self.sample}
        return ("image", *(name for name, present in optional.items() if present))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the network's input: channels, height, width."""
        return len(self.channels), self.size, self.size
