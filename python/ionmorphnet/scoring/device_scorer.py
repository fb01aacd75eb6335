"""What a scorer on a GPU offers to the native loop: it takes device addresses and a stream, and waits for nothing."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

InputDtype = Literal["f32", "bf16", "f16"]


@runtime_checkable
class DeviceScorer(Protocol):
    """A network that is ready on one GPU, for batches of one fixed size.

    The TensorRT and the torch scorer implement it; the native device loop calls it.

    Attributes:
        name: ``tensorrt`` or ``torch``, as in ``make_scorer(scorer=...)``.
        precision: What the network computes in: ``f32``, ``bf16`` or ``fp16``.
        batch: Images of each call; a last batch with fewer is padded by the caller.
        input_dtype: Type of the images in memory.
        channels: Channels of an image.
        n_outputs: Values for each image.
        n_statistics: Statistics beside each image; 0: the network takes none.
    """

    name: str
    precision: str
    batch: int
    input_dtype: InputDtype
    channels: int
    n_outputs: int
    n_statistics: int

    def enqueue(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        """Put one batch on a stream and return without waiting for it.

        The calls of one loop take a few sets of addresses in turn.

        Args:
            image: Device address of (batch, channels, 224, 224), C order, in ``input_dtype``.
            statistics: Device address of float32 (batch, n_statistics), C order; 0 where the network takes none.
            outputs: Device address of float32 (batch, n_outputs), C order, written by the network.
            stream: A ``cudaStream_t`` as an integer, of the device that the scorer was made for.

        Raises:
            IonMorphNetError: The network cannot be started.
        """
        ...
