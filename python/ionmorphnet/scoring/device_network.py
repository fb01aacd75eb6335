"""What a network on a GPU offers to the native loop: it enqueues work on a stream and waits for nothing."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

InputDtype = Literal["f32", "bf16", "f16"]


@runtime_checkable
class DeviceNetwork(Protocol):
    """A network that is ready on one GPU, for batches of one fixed size.

    The TensorRT and the torch network implement it; the native device loop calls it.

    Attributes:
        name: ``tensorrt`` or ``torch``, as in ``make_scorer(scorer=...)``.
        precision: What the network computes in: ``f32``, ``bf16`` or ``fp16``.
        batch: Images per call; the caller pads a last batch that has fewer.
        input_dtype: Type of the images in memory.
        channels: Channels of an image.
        size: Height and width of an image in pixels.
        n_outputs: Values per image.
        n_statistics: Statistics that the network reads with each image; 0: none.
    """

    name: str
    precision: str
    batch: int
    input_dtype: InputDtype
    channels: int
    size: int
    n_outputs: int
    n_statistics: int

    def enqueue(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        """Puts one batch on a stream and returns without waiting for it.

        The calls of one loop use a few sets of addresses in turn.

        Args:
            image: Device address of (batch, channels, size, size), C order, in ``input_dtype``.
            statistics: Device address of float32 (batch, n_statistics), C order; 0 if the network reads none.
            outputs: Device address of float32 (batch, n_outputs), C order, written by the network.
            stream: A ``cudaStream_t`` as an integer, of the device that the network was started on.

        Raises:
            IonMorphNetError: The network cannot be started.
        """
        ...
