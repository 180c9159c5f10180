"""How long an export and its dense network take on this machine, measured in turns."""
import math
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lth.exports.export_format import Logits

BATCH_SIZES = (1, 64)
# Smaller differences are not distinguished from other work of the machine, nor are those of fewer turns.
_FASTER, _SHARE_OF_TURNS = 1.1, 0.75
_TURNS, _LEAST_TURNS = 60, 4
_SECONDS, _SECONDS_OF_TURN = 2., 0.005


class Latency(NamedTuple):
    """Median milliseconds for a batch of images, and times as fast as the dense network: the median of the ratios of
    turns. `faster`: whether most turns agree that the export is faster; None if most agree on neither, as other
    programs ran.
    """

    batch: int
    milliseconds: float
    dense_milliseconds: float
    times_as_fast: float
    faster: bool | None

    @property
    def verdict(self) -> str:
        """In words: `2.3 times as fast`, or `no faster`."""

        if self.faster is None:
            return 'undecided, as other programs ran; measure it on an idle machine'
        return f'{self.times_as_fast:.1f} times as fast' if self.faster else 'no faster'


@torch.inference_mode()
def measure(dense: Logits, export: Logits, images: Tensor) -> list[Latency]:
    """The latency of both on batches of these inputs (n, C, H, W), repeated if there are too few."""

    return [_measure(dense, export, _batch(images, size)) for size in BATCH_SIZES]


def _measure(dense: Logits, export: Logits, batch: Tensor) -> Latency:
    """Time both in turns; the one that starts a turn changes, as the first may find other data in the caches."""

    functions = dense, export
    times: tuple[list[float], list[float]] = [], []
    calls = [_calls(function, batch) for function in functions]
    start = time.perf_counter()
    while (turn := len(times[1])) < _LEAST_TURNS or (turn < _TURNS and time.perf_counter() - start < _SECONDS):
        for one in (0, 1) if turn % 2 else (1, 0):
            times[one].append(_seconds(functions[one], batch, calls[one]))
    ratios = [first / second for first, second in zip(*times, strict=True)]
    dense_time, export_time = (1000 * statistics.median(one) for one in times)
    return Latency(len(batch), export_time, dense_time, statistics.median(ratios), decide(ratios))


def decide(ratios: Sequence[float]) -> bool | None:
    """Whether most turns find the export faster, or not; None if they do not agree."""

    share = sum(ratio >= _FASTER for ratio in ratios) / len(ratios)
    return None if 1 - _SHARE_OF_TURNS < share < _SHARE_OF_TURNS else share >= _SHARE_OF_TURNS


def _calls(function: Logits, batch: Tensor) -> int:
    """How many calls are timed together, so that a clock can measure them. The first calls warm up."""

    _seconds(function, batch, 1)
    return max(1, math.ceil(_SECONDS_OF_TURN / _seconds(function, batch, 1)))


def _seconds(function: Logits, batch: Tensor, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function(batch)
    return (time.perf_counter() - start) / calls


def _batch(images: Tensor, size: int) -> Tensor:
    repeats = math.ceil(size / len(images))
    return images.repeat(repeats, 1, 1, 1)[:size].contiguous()
