"""score_images beside bare OpenVINO async inference of the same network and precision, and a torch eager loop."""

from __future__ import annotations

import numpy as np
import openvino as ov

import ionmorphnet as imn
from benchmarks.common import Context, Row, interleaved, rows
from ionmorphnet import _core

IMAGES = 512


def run(context: Context) -> list[Row]:
    model = imn.load_model()
    rng = np.random.default_rng(0)
    images = rng.gamma(0.5, 10.0, (IMAGES, 134, 260)).astype(np.float32)
    inputs = _core.preprocess(images, model.preprocessing)
    found = []
    precisions = ["f32", "bf16"] if _core.cpu_has_bf16() else ["f32"]
    for precision in precisions:
        scorer = imn.make_scorer(precision=precision)
        info = scorer.native.info
        bare = _BareOpenVino(str(model.onnx_path), precision, info["batch"])
        tolerance = 1e-4 if precision == "f32" else 0.5
        assert np.abs(bare.run(inputs[:64]) - scorer.native.score(inputs[:64])).max() < tolerance
        tools = {
            "ionmorphnet score_images": lambda s=scorer: imn.score_images(images, scorer=s),
            "bare OpenVINO async": lambda b=bare: b.run(inputs),
        }
        seconds = interleaved(tools, context.repeat)
        eager = _torch_eager(model, inputs[:32], precision)
        if eager is not None:
            seconds["torch eager, batch 1"] = interleaved({"torch": eager}, 2)["torch"] * IMAGES / 32
        notes = {tool: f"{IMAGES / value:.0f} images/s" for tool, value in seconds.items()}
        notes["bare OpenVINO async"] += f", batch {info['batch']}, inputs already preprocessed"
        found += rows(
            f"{IMAGES} images of 134 x 260, {precision}", seconds, ours="ionmorphnet score_images", notes=notes
        )
    statistic = interleaved({"moran": lambda: imn.score_images(images, scorer="moran")}, context.repeat)["moran"]
    found.append(
        Row(f"{IMAGES} images of 134 x 260", "scorer moran", statistic, None, f"{IMAGES / statistic:.0f} images/s")
    )
    return found


class _BareOpenVino:
    """The fastest plain use of OpenVINO: an AsyncInferQueue in throughput mode, static batch, nothing else."""

    def __init__(self, onnx: str, precision: str, batch: int) -> None:
        core = ov.Core()
        network = core.read_model(onnx)
        network.reshape(
            [batch, *network.input().partial_shape.to_shape()[1:]]
            if network.input().partial_shape.is_static
            else [batch, *[d.get_length() for d in list(network.input().partial_shape)[1:]]]
        )
        self.batch = batch
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        self.compiled = core.compile_model(network, "CPU", hints)
        self.queue = ov.AsyncInferQueue(self.compiled)
        self.results: dict[int, np.ndarray] = {}
        self.queue.set_callback(self._store)

    def _store(self, request: ov.InferRequest, start: int) -> None:
        self.results[start] = request.get_output_tensor().data.copy()

    def run(self, inputs: np.ndarray) -> np.ndarray:
        self.results.clear()
        for start in range(0, len(inputs) - self.batch + 1, self.batch):
            self.queue.start_async({0: ov.Tensor(inputs[start : start + self.batch])}, start)
        self.queue.wait_all()
        return np.concatenate([self.results[start] for start in sorted(self.results)])


def _torch_eager(model: imn.Model, inputs: np.ndarray, precision: str):
    try:
        import torch

        from ionmorphnet.training.convnextv2 import ConvNeXtV2
    except ImportError:
        return None
    network = ConvNeXtV2(model.architecture, in_chans=inputs.shape[1], num_classes=6).eval()
    tensor = torch.from_numpy(inputs)

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            for i in range(len(tensor)):
                network(tensor[i : i + 1])

    return call
