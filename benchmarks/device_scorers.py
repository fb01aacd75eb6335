"""Images per second of every engine on a GPU, by network, precision and batch size."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ionmorphnet as imn
from benchmarks.common import Row
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.device_network import DeviceNetwork

WARM_UP = 5
TIMED = 30
# The most informative first, because cases after the time limit are left out.
CASES = (
    ("atto", "torch", "bf16", 256, {}),
    ("tiny", "torch", "bf16", 256, {}),
    ("atto", "tensorrt", "bf16", 256, {}),
    ("tiny", "tensorrt", "bf16", 256, {}),
    ("atto", "torch", "bf16", 64, {}),
    ("atto", "torch", "bf16", 512, {}),
    ("tiny", "torch", "bf16", 64, {}),
    ("tiny", "torch", "bf16", 512, {}),
    ("atto", "torch", "bf16", 256, {"fused": False}),
    ("tiny", "torch", "bf16", 256, {"fused": False}),
    ("atto", "torch", "bf16", 256, {"fused": False, "compiled": False}),
    ("tiny", "torch", "bf16", 256, {"fused": False, "compiled": False}),
    ("atto", "torch", "f32", 256, {}),
    ("atto", "tensorrt", "bf16", 64, {}),
    ("atto", "tensorrt", "fp16", 256, {}),
    ("tiny", "tensorrt", "fp16", 256, {}),
)


def scorer_rows(work: Path, device: str, end: float) -> Iterator[Row]:
    """One row per case. Cases that cannot run, or come after the time limit, say why."""
    models: dict[str, Model] = {"atto": imn.load_model()}
    for network, engine, precision, batch, options in CASES:
        case = f"scorer, {network}, batch {batch}"
        way = "" if options.get("fused", True) else ", compiled" if options.get("compiled", True) else ", as it is"
        tool = f"{engine} {precision}{way}"
        if time.monotonic() > end:
            yield Row(case, f"{tool}: skipped", 0.0, None, "out of time")
            continue
        try:
            if network not in models:
                models[network] = tiny_model(work / "tiny")
            started = time.monotonic()
            scorer = _start(engine, models[network], device, precision, batch, options)
            start_s = time.monotonic() - started
            seconds = seconds_of_a_batch(scorer, device)
        except (imn.IonMorphNetError, ImportError, RuntimeError, OSError) as error:
            yield Row(case, f"{tool}: skipped", 0.0, None, " ".join(str(error).split())[:200])
            continue
        rate = batch / seconds
        values = {"images/s": rate, "batch_s": seconds, "start_s": start_s}
        yield Row(case, tool, seconds, None, f"{rate:.0f} images/s, started in {start_s:.1f} s", values)


def _start(
    engine: str, model: Model, device: str, precision: str, batch: int, options: dict[str, Any]
) -> DeviceNetwork:
    if engine == "tensorrt":
        return imn.engine.make_tensorrt_scorer(model, imn.Device.parse(device).index or 0, precision, batch)
    from ionmorphnet.scoring.torch.scorer import TorchScorer

    return TorchScorer(model, device=device, precision=precision, batch=batch, **options)


def seconds_of_a_batch(scorer: DeviceNetwork, device: str, *, warm_up: int = WARM_UP, timed: int = TIMED) -> float:
    """Seconds per batch by the device's clock, over many batches on one stream, with memory and events of torch."""
    import torch

    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[scorer.input_dtype]
    with torch.cuda.device(device):
        image = torch.rand((scorer.batch, scorer.channels, scorer.size, scorer.size), device=device).to(dtype)
        statistics = torch.rand((scorer.batch, max(1, scorer.n_statistics)), device=device)
        outputs = torch.zeros((scorer.batch, scorer.n_outputs), device=device)
        stream = torch.cuda.Stream(device)
        torch.cuda.synchronize()
        given = statistics.data_ptr() if scorer.n_statistics else 0
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        for turn in range(warm_up + timed):
            if turn == warm_up:
                begin.record(stream)
            scorer.enqueue(image.data_ptr(), given, outputs.data_ptr(), stream.cuda_stream)
        end.record(stream)
        end.synchronize()
        if not bool(torch.isfinite(outputs).all()):
            raise imn.IonMorphNetError("outputs are not finite")
        return float(begin.elapsed_time(end)) / 1000.0 / timed


def tiny_model(folder: Path) -> Model:
    """A ConvNeXt V2 Tiny with random weights in the layout of the default model. Its scores are meaningless."""
    import torch

    from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
    from ionmorphnet.models.networks.folder import write_config, write_safetensors

    atto = imn.load_model()
    config = {**atto.config, "name": "tiny-random", "architecture": "convnextv2_tiny"}
    torch.manual_seed(0)
    network = ConvNeXtV2(
        "convnextv2_tiny",
        in_chans=int(config["input"]["channels"]),
        extra_outputs=dict.fromkeys(atto.outputs[1:], 1),
        statistics=len(atto.statistics),
        statistics_hidden=int(config["statistics_hidden"]),
    ).eval()
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder, network.state_dict(), {"name": "tiny-random"})
    write_config(folder, config)
    try:
        from ionmorphnet.models.networks.onnx_export import export_onnx

        export_onnx(network, folder / "model.onnx", int(config["input"]["size"]))
    except ImportError as error:  # torch runs it anyway; TensorRT needs the file
        print(f"  tiny has no model.onnx: {error}", flush=True)
        return dataclasses.replace(
            atto, name="tiny-random", architecture="convnextv2_tiny", folder=folder, config=config
        )
    return imn.load_model(folder)
