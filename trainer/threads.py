"""How many threads torch computes with, beside those that make batches."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .data.loader import MOST_THREADS


def compute_threads(cores: int | None = None) -> int:
    """Threads for torch on a processor: what the threads that make batches leave of the cores, at least one.

    More threads than free cores cost far more than they give: oneDNN's small convolutions wait for each other at every
    layer, and a wait for a thread that has no core lasts a whole time slice (measured: a backward pass of a narrow
    detector 15 ms with one thread, 125 ms with two, on two cores of which other work took part of one).
    """
    cores = cores or os.cpu_count() or 1
    return max(1, cores - max(1, min(MOST_THREADS, cores // 2)))


@contextmanager
def sharing_cores(device: torch.device | str) -> Iterator[None]:
    """Compute with `compute_threads` where `device` is the processor, or with fewer where torch was told so before."""
    before = torch.get_num_threads()
    if torch.device(device).type == "cpu":
        torch.set_num_threads(min(before, compute_threads()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
