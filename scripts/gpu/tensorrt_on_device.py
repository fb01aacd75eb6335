"""Runs an engine on a GPU: TensorRT's messages, parity with saved float32 outputs, and images per second.

    tensorrt_on_device.py reference REF.npz [--model M] [--images 64]     # on any machine with OpenVINO
    tensorrt_on_device.py run REF.npz [--engine FILE | --model M] [--precision P] [--batch N] [--json]
    tensorrt_on_device.py ask FILE                                        # ignores the sidecar

``reference`` saves preprocessed simulated images, their statistics and OpenVINO's float32 outputs. ``run`` loads the
engine (from the file, from the cache, or by building it), compares its outputs with the saved ones and times it. An
engine that cannot run gives a one-line error and exit code 2, failed parity exit code 1. ``ask`` loads an engine into
TensorRT regardless of its sidecar and prints TensorRT's answer. torch is not needed: memory and streams come from the
driver.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import ionmorphnet as imn
from ionmorphnet.base.devices import Device
from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.scoring.tensorrt.build import new_log
from ionmorphnet.scoring.tensorrt.flavour import find_flavour
from ionmorphnet.scoring.tensorrt.gpu import Driver, find_gpu
from ionmorphnet.scoring.tensorrt.rounding import bf16_bits
from ionmorphnet.scoring.tensorrt.sidecar import read_sidecar

# Largest difference of a logit that rounding explains (docs/maintainers/engines.md has those of the emulation).
TOLERANCE = {"f32": 0.02, "fp16": 0.05, "bf16": 0.3}  # f32: tensor cores may use TF32
REPEATS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    reference = commands.add_parser("reference")
    reference.add_argument("npz", type=Path)
    reference.add_argument("--model")
    reference.add_argument("--images", type=int, default=64)
    run = commands.add_parser("run")
    run.add_argument("npz", type=Path)
    run.add_argument("--engine", type=Path)
    run.add_argument("--model")
    run.add_argument("--flavour", choices=["tensorrt", "tensorrt_rtx"])
    run.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp16", "f32"])
    run.add_argument("--batch", type=int, default=imn.engine.DEFAULT_BATCH)
    run.add_argument("--device", default="cuda")
    run.add_argument("--cache-dir", type=Path)
    run.add_argument("--json", action="store_true")
    ask = commands.add_parser("ask")
    ask.add_argument("engine", type=Path)
    given = parser.parse_args()
    try:
        sys.exit({"reference": save_reference, "run": run_engine, "ask": ask_tensorrt}[given.command](given))
    except (IonMorphNetError, OSError) as error:
        print(f"tensorrt_on_device: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def save_reference(given: argparse.Namespace) -> int:
    model = imn.load_model(given.model)
    inputs = imn.engine.simulated_inputs(model, given.images, seed=71)
    outputs = imn.engine.reference_outputs(model, inputs)
    with atomic_path(given.npz) as path:
        np.savez_compressed(
            path, images=inputs.images, statistics=inputs.statistics, outputs=outputs, onnx_sha256=model.sha256
        )
    print(f"{given.npz}: {given.images} images, {model.name}")
    return 0


def run_engine(given: argparse.Namespace) -> int:
    model = imn.load_model(given.model)
    with np.load(given.npz) as arrays:
        images, values, expected = arrays["images"], arrays["statistics"], arrays["outputs"]
        if str(arrays["onnx_sha256"]) != model.sha256:
            raise IonMorphNetError(f"{given.npz}: saved from another network than {model.onnx_path}")
    started = time.perf_counter()
    if given.engine is not None:
        scorer: Any = imn.engine.load_tensorrt_scorer(given.engine, device=Device.parse(given.device))
    else:
        scorer = imn.engine.make_tensorrt_scorer(
            model,
            device=Device.parse(given.device),
            precision=given.precision,
            batch=given.batch,
            cache_dir=given.cache_dir,
            flavour=given.flavour,
        )
    ready = time.perf_counter() - started
    with buffers(scorer) as device:
        outputs = np.concatenate([device.score(images[i], values[i]) for i in device.rows(len(images))])
        found = imn.engine.agreement(model, outputs, expected)
        milliseconds = device.times()
    median = statistics.median(milliseconds)
    result = {
        "gpu": str(scorer.gpu),
        "flavour": scorer.flavour,
        "precision": scorer.precision,
        "batch": scorer.batch,
        "ready_s": round(ready, 3),
        "max_difference": found.max_difference,
        "rms_difference": found.rms_difference,
        "spearman": found.spearman,
        "top1": found.top1,
        "within_tolerance": bool(found.max_difference <= TOLERANCE[scorer.precision]),
        "ms_per_batch": {"median": median, "least": min(milliseconds), "most": max(milliseconds)},
        "images_per_s": 1000.0 * scorer.batch / median,
    }
    print(json.dumps(result, indent=2) if given.json else "\n".join(f"{k}: {v}" for k, v in result.items()))
    return 0 if result["within_tolerance"] else 1


class Buffers:
    """Device memory for one batch of a scorer, and a stream."""

    def __init__(self, driver: Driver, scorer: Any) -> None:
        self._driver, self._scorer = driver, scorer
        width = 4 if scorer.input_dtype == "f32" else 2
        sizes = (scorer.channels * scorer.size**2 * width, 4 * scorer.n_statistics, 4 * scorer.n_outputs)
        self.addresses = [self._new(scorer.batch * size) for size in sizes]
        self._stream = ctypes.c_void_p()
        driver.call("cuStreamCreate", ctypes.byref(self._stream), 1)  # non-blocking: independent of the default stream

    def _new(self, size: int) -> int:
        address = ctypes.c_uint64(0)
        if size:
            self._driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def rows(self, n: int) -> Iterator[slice]:
        return (slice(first, first + self._scorer.batch) for first in range(0, n, self._scorer.batch))

    def score(self, images: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Returns the outputs of up to one batch; unused places of the batch keep their old content."""
        kind = self._scorer.input_dtype
        typed = {"f32": lambda x: x, "f16": lambda x: x.astype(np.float16), "bf16": bf16_bits}[kind](images)
        image, statistics_, outputs = self.addresses
        self._upload(image, typed)
        if statistics_:
            self._upload(statistics_, values.astype(np.float32))
        self._scorer.enqueue(image, statistics_, outputs, self._stream.value or 0)
        self._driver.call("cuStreamSynchronize", self._stream)
        result = np.empty((len(images), self._scorer.n_outputs), np.float32)
        self._driver.call(
            "cuMemcpyDtoH_v2", ctypes.c_void_p(result.ctypes.data), ctypes.c_uint64(outputs),
            ctypes.c_size_t(result.nbytes),
        )  # fmt: skip
        return result

    def _upload(self, address: int, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values)
        self._driver.call(
            "cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_void_p(values.ctypes.data),
            ctypes.c_size_t(values.nbytes),
        )  # fmt: skip

    def times(self) -> list[float]:
        """Returns the milliseconds of each batch, after enough warm-up batches to capture a CUDA graph."""
        found = []
        for index in range(REPEATS + 5):
            started = time.perf_counter()
            self._scorer.enqueue(*self.addresses, self._stream.value or 0)
            self._driver.call("cuStreamSynchronize", self._stream)
            if index >= 5:
                found.append(1000.0 * (time.perf_counter() - started))
        return found

    def close(self) -> None:
        for address in filter(None, self.addresses):
            self._driver.call("cuMemFree_v2", ctypes.c_uint64(address))


@contextmanager
def buffers(scorer: Any) -> Iterator[Buffers]:
    driver = Driver()
    driver.make_current(scorer.gpu)
    made = Buffers(driver, scorer)
    try:
        yield made
    finally:
        made.close()


def ask_tensorrt(given: argparse.Namespace) -> int:
    """Prints the sidecar's content, our verdict, and TensorRT's own verdict on an engine for this GPU."""
    key = read_sidecar(given.engine).key
    print(f"sidecar: {key.flavour} {key.version} for {', '.join(key.targets)}, {key.precision}, batch {key.batch}")
    print(f"ours: {imn.engine.why_not_runnable(read_sidecar(given.engine)) or 'compatible'}")
    flavour = find_flavour(key.flavour)
    driver = Driver()
    gpu = find_gpu("cuda", driver)
    driver.make_current(gpu)
    log = new_log(flavour)
    runtime, content = flavour.module.Runtime(log), given.engine.read_bytes()
    if hasattr(runtime, "get_engine_validity"):  # tensorrt_rtx
        print(f"validity: {runtime.get_engine_validity(content)}")
    engine = runtime.deserialize_cuda_engine(content)
    print(f"{flavour} on {gpu}: " + ("accepted" if engine is not None else f"refused: {'; '.join(log.errors)}"))
    return 0


if __name__ == "__main__":
    main()
