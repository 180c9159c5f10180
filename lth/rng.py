"""Random generators that are functions of a seed, the name of a stream and numbers, never a global generator.

Equal arguments give equal random numbers, no matter what was sampled before. A resumed run therefore repeats the
interrupted one, and a network trained together with others gets the same numbers as one trained alone. A new use of
randomness takes a new stream name.
"""
import contextlib
import hashlib
import random as python_random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def generator(seed: int, stream: str, *numbers: int) -> torch.Generator:
    """A CPU generator for one use, the same on every machine and device."""

    return torch.Generator().manual_seed(derive_seed(seed, stream, *numbers))


def derive_seed(seed: int, stream: str, *numbers: int) -> int:
    """A seed of 63 bits, for generators that other code creates, such as the one for a module's dropout."""

    name = '/'.join(map(str, (seed, stream, *numbers)))
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little') >> 1


def shuffle(values: Tensor, random: torch.Generator) -> Tensor:
    """The values in random order: (n,) -> (n,)."""

    return values[torch.randperm(len(values), generator=random).to(values.device)]


@contextlib.contextmanager
def seeded_globals(number: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python for the code of users in this block. Afterwards they
    continue as if the block had not run.
    """

    states = python_random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            seed_globals(number)
            yield
    finally:
        python_random.setstate(states[0])
        np.random.set_state(states[1])


def seed_globals(number: int) -> None:
    """Seed the global generators of torch (on the CPU), numpy and Python."""

    torch.default_generator.manual_seed(number)
    python_random.seed(number)
    np.random.seed(number % 2 ** 32)


def globals_state() -> tuple[object, ...]:
    """The states of these generators, equal if no random number was drawn between two calls."""

    _, key, position, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), np.asarray(key).tobytes(), position, *rest, python_random.getstate()
