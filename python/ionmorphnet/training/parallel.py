"""Data parallel training under ``torchrun``: every process takes its part of each batch.

Gradients are averaged in one message a step. That needs no wrapper around the network, so compiled networks, dropped
weights and outputs without a loss are all the same to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from ionmorphnet.base.errors import ArgumentError


@dataclass(frozen=True)
class Group:
    """The processes of a training.

    Attributes:
        rank: Number of this one; 0 writes the files.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def part(self, batch: range, unit: int) -> range:
        """This process's share of a batch, in multiples of ``unit`` images (those of a scene stay together).

        Raises:
            ArgumentError: The batch does not divide.
        """
        if self.size == 1:
            return batch
        share, rest = divmod(len(batch), self.size)
        if rest or share % unit:
            raise ArgumentError(
                f"a batch of {len(batch)} does not divide among {self.size} processes in multiples of {unit} images"
            )
        return batch[self.rank * share : (self.rank + 1) * share]

    def average_gradients(self, network: nn.Module, flag: bool) -> bool:
        """Give all processes the mean of their gradients, and say whether any of them raised the flag."""
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
        """What process 0 decided, in all processes; all wait for it."""
        if self.size == 1:
            return value
        message = [value]
        dist.broadcast_object_list(message, src=0)
        return message[0]


@contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """The processes that ``torchrun`` started: NCCL between GPUs, else Gloo. One process where it did not."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Group()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
