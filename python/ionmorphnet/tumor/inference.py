"""Inference of a tumor model: OpenVINO on the CPU, torch on a GPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import FileError, UnavailableError
from ionmorphnet.tumor.model import Float32, Forward, TumorModel


def start_network(model: TumorModel, device: DeviceName | Device = "auto", threads: int = 0) -> Forward:
    """Starts the network of a model folder: OpenVINO on the CPU (float32), torch on a GPU.

    Args:
        model: The model.
        device: ``auto`` or ``cpu``; ``cuda[:N]`` needs torch.
        threads: CPU threads; 0: all cores.

    Returns:
        A callable that accepts float32 patches (n, channels, size, size) and uint8 masks (n, size, size), and returns
        float32 logits (n, classes).

    Raises:
        ArgumentError: ``device`` is not the name of a device.
        FileError: The network cannot be loaded, or does not match ``config.json``.
        UnavailableError: torch or the device is not available.
    """
    wanted = Device.parse(device)
    if wanted.kind != "cuda":
        return start_on_cpu(model, threads)
    try:
        from ionmorphnet.tumor.torch_inference import torch_forward
    except ImportError:
        raise UnavailableError(f"device {device} needs torch: pip install 'ionmorphnet[tumor]'") from None
    return torch_forward(model, wanted)


def start_on_cpu(model: TumorModel, threads: int = 0) -> Forward:
    """Starts the network in OpenVINO; see :func:`start_network`."""
    path = model.folder / "model.onnx"
    try:
        import openvino
    except ImportError:
        raise UnavailableError(
            "OpenVINO is not installed; run on a GPU with device 'cuda', which needs torch"
        ) from None
    hints: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        hints["INFERENCE_NUM_THREADS"] = threads
    try:
        compiled = openvino.Core().compile_model(str(path), "CPU", hints)
    except RuntimeError as error:
        raise FileError(f"{path}: cannot be loaded: {str(error).splitlines()[0]}") from None

    try:
        shapes = [
            [side.get_length() if side.is_static else -1 for side in port.partial_shape] for port in compiled.inputs
        ]
        named = dict(zip((port.any_name for port in compiled.inputs), shapes, strict=True))
        found = named["patches"][1:], [side.get_length() for side in list(compiled.output(0).partial_shape)[1:]]
    except (KeyError, RuntimeError) as error:
        raise FileError(f"{path}: not a patch classifier ({error})") from None
    wanted = [len(model.axis), model.size, model.size], [len(model.classes)]
    if found != wanted:
        raise FileError(
            f"{path}: expects patches (channels, y, x) of {found[0]} and returns classes {found[1]}, but config.json "
            f"specifies {wanted[0]} and {wanted[1]}"
        )

    def run(patches: Float32, mask: npt.NDArray[np.uint8]) -> Float32:
        return np.array(compiled({"patches": patches, "mask": mask.astype(np.float32)})[0])

    return run
