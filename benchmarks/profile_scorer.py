"""Profiles the torch scorer on a GPU: time by kernel, and the total compared with its lower bounds.

python -m benchmarks.profile_scorer [--network atto|tiny] [--precision bf16] [--batch 256] [--kernels 12] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import ionmorphnet as imn
from benchmarks.device_scorers import seconds_of_a_batch, tiny_model

BATCHES = 4


def profiled(network: str, precision: str, batch: int, device: str) -> dict:
    """Microseconds per image of every kernel, largest first. The sum excludes the gaps that a graph closes."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from ionmorphnet.scoring.torch.scorer import TorchScorer

    with tempfile.TemporaryDirectory() as folder:
        model = imn.load_model() if network == "atto" else tiny_model(Path(folder) / "tiny")
        # Without a graph, because some versions of the profiler do not name the kernels of a graph.
        scorer = TorchScorer(model, device=device, precision=precision, batch=batch, graph=False)
        plain = seconds_of_a_batch(scorer, device)
        with profile(activities=[ProfilerActivity.CUDA]) as record:
            seconds_of_a_batch(scorer, device, warm_up=1, timed=BATCHES)
        graphed = seconds_of_a_batch(TorchScorer(model, device=device, precision=precision, batch=batch), device)
    kernels = [
        {
            "kernel": event.key,
            "us_per_image": event.self_device_time_total / (BATCHES + 1) / batch,
            "calls": event.count,
        }
        for event in record.key_averages()
        if event.self_device_time_total > 0
    ]
    kernels.sort(key=lambda entry: -entry["us_per_image"])
    return {
        "network": network,
        "precision": precision,
        "batch": batch,
        "gpu": torch.cuda.get_device_name(device),
        "us_per_image": 1e6 * graphed / batch,
        "us_per_image_without_graph": 1e6 * plain / batch,
        "kernels": kernels,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["atto", "tiny"], action="append")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--kernels", type=int, default=12, help="to print (default 12)")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = []
    for network in given.network or ["atto", "tiny"]:
        one = profiled(network, given.precision, given.batch, given.device)
        found.append(one)
        total = sum(entry["us_per_image"] for entry in one["kernels"])
        print(
            f"{network} {given.precision} batch {given.batch}: {one['us_per_image']:.2f} us an image as a graph, ",
            end="",
        )
        print(f"{one['us_per_image_without_graph']:.2f} without, kernels {total:.2f}")
        for entry in one["kernels"][: given.kernels]:
            name = entry["kernel"][:100]
            print(f"  {entry['us_per_image']:7.2f} us  {entry['us_per_image'] / total:5.1%}  x{entry['calls']}  {name}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
