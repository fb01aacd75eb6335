"""score_images, compared with bare asynchronous OpenVINO of the same network and precision, and eager torch."""

from __future__ import annotations

import numpy as np
import openvino as ov

import ionmorphnet as imn
from benchmarks.common import Context, Row, interleaved, rows
from ionmorphnet import _core
from ionmorphnet.models.labels import STATISTICS

IMAGES = 512


def run(context: Context) -> list[Row]:
    model = imn.load_model()
    rng = np.random.default_rng(0)
    images = rng.gamma(0.5, 10.0, (IMAGES, 134, 260)).astype(np.float32)
    inputs = [_core.preprocess(images, model.preprocessing)]
    if model.statistics:
        inputs.append(_core.image_statistics(images)[:, [STATISTICS.index(name) for name in model.statistics]])
    found = []
    precisions = ["f32", "bf16"] if _core.cpu_has_bf16() else ["f32"]
    for precision in precisions:
        scorer = imn.make_scorer(precision=precision)
        info = scorer.network.info
        bare = _BareOpenVino(str(model.onnx_path), precision, info["batch"])
        tolerance = 1e-4 if precision == "f32" else 0.5
        few = [part[:64] for part in inputs]
        assert np.abs(bare.run(few) - scorer.network.score(*few)).max() < tolerance
        tools = {
            "ionmorphnet score_images": lambda s=scorer: imn.score_images(images, scorer=s),
            "bare OpenVINO async": lambda b=bare: b.run(inputs),
        }
        seconds = interleaved(tools, context.repeat)
        eager = _torch_eager(model, [part[:32] for part in inputs], precision)
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
        network.reshape({i: [batch, *list(port.partial_shape)[1:]] for i, port in enumerate(network.inputs)})
        self.batch = batch
        names = [port.any_name for port in network.inputs]
        self.ports = [names.index(name) for name in ("image", "statistics")[: len(names)]]
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        self.compiled = core.compile_model(network, "CPU", hints)
        self.queue = ov.AsyncInferQueue(self.compiled)
        self.results: dict[int, np.ndarray] = {}
        self.queue.set_callback(self._store)

    def _store(self, request: ov.InferRequest, start: int) -> None:
        self.results[start] = request.get_output_tensor().data.copy()

    def run(self, inputs: list[np.ndarray]) -> np.ndarray:
        self.results.clear()
        for start in range(0, len(inputs[0]) - self.batch + 1, self.batch):
            parts = [ov.Tensor(np.ascontiguousarray(part[start : start + self.batch])) for part in inputs]
            self.queue.start_async(dict(zip(self.ports, parts, strict=True)), start)
        self.queue.wait_all()
        return np.concatenate([self.results[start] for start in sorted(self.results)])


def _torch_eager(model: imn.Model, inputs: list[np.ndarray], precision: str):
    try:
        import torch

        from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
    except ImportError:
        return None
    extra = dict.fromkeys(model.outputs[1:], 1)
    network = ConvNeXtV2(
        model.architecture, in_chans=inputs[0].shape[1], extra_outputs=extra, statistics=len(model.statistics)
    ).eval()
    tensors = [torch.from_numpy(part) for part in inputs]

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            for i in range(len(tensors[0])):
                network.forward_all(*[part[i : i + 1] for part in tensors])

    return call
