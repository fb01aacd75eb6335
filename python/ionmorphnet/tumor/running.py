"""Running the network of a tumor model: OpenVINO on the CPU, torch on a GPU."""

from __future__ import annotations

from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.tumor.model import Forward, TumorModel, start_on_cpu


def start_network(model: TumorModel, device: str = "auto", threads: int = 0) -> Forward:
    """Starts the network of a model folder: OpenVINO on the CPU (float32), torch on a GPU.

    Args:
        model: The model folder.
        device: ``auto`` or ``cpu``; ``cuda[:N]`` needs torch.
        threads: CPU threads; 0: all.

    Returns:
        A callable that takes patches (n, channels, size, size) float32 and masks (n, size, size) uint8, and returns
        logits (n, classes) float32.

    Raises:
        FileError: The network cannot be loaded, or does not match ``config.json``.
        UnavailableError: torch or the device is not available.
    """
    if device in ("auto", "cpu"):
        return start_on_cpu(model, threads)
    try:
        from ionmorphnet.tumor.exporting import torch_forward
    except ImportError:
        raise UnavailableError(f"device {device} needs torch: pip install 'ionmorphnet[tumor]'") from None
    return torch_forward(model, device)
