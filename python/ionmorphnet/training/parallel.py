"""Data-parallel training under ``torchrun``: each process computes its share of every batch.

Gradients are averaged in one message per step. This requires no wrapper around the network, so it works with compiled
networks, dropped weights and outputs without a loss.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous

from ionmorphnet.base.errors import ArgumentError

# Process 0 needs this long at most for what it does alone at the end: the last validation and the files.
_LEAVE = timedelta(hours=1)


@dataclass(frozen=True)
class Group:
    """The processes of a training.

    Attributes:
        rank: Number of this process; process 0 writes the files.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    def part(self, batch: range, unit: int) -> range:
        """Return this process's share of a batch, in multiples of ``unit`` images, which keeps scenes together.

        Raises:
            ArgumentError: The batch cannot be divided evenly.
        """
        if self.size == 1:
            return batch
        share, rest = divmod(len(batch), self.size)
        if rest or share % unit:
            raise ArgumentError(
                f"a batch of {len(batch)} cannot be divided among {self.size} processes in multiples of {unit} images"
            )
        return batch[self.rank * share : (self.rank + 1) * share]

    def average_gradients(self, network: nn.Module, flag: bool) -> bool:
        """Average the gradients over all processes; return whether any process raised the flag."""
        if self.size == 1:
            return flag
        parameters = list(network.parameters())
        parts = [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
        flat = torch.cat([*parts, parts[0].new_tensor([float(flag)])])
        dist.all_reduce(flat)
        flags = float(flat[-1])
        flat /= self.size
        for parameter, mean in zip(parameters, torch.split(flat[:-1], [len(part) for part in parts]), strict=True):
            parameter.grad = mean.view_as(parameter)
        return flags > 0.0

    def broadcast(self, value: bool) -> bool:
        """Return the value of process 0 in all processes, which wait for it."""
        if self.size == 1:
            return value
        message = [value]
        dist.broadcast_object_list(message, src=0)
        return message[0]


@contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """Join the processes that ``torchrun`` started (NCCL on GPUs, otherwise Gloo); without it, a single process.

    The processes leave together. One that left early would close its connections while process 0 still writes files.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Group()
        return
    store, rank, size = next(iter(rendezvous("env://")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size)
    try:
        yield Group(rank, size)
        store.set(f"finished/{rank}", "")
        store.wait([f"finished/{other}" for other in range(size)], _LEAVE)
    finally:
        dist.destroy_process_group()
