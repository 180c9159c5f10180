"""Randomness is data: every draw comes from a generator named by (seed, stream, numbers), never from a global one.

Equal names give equal draws, whatever was drawn before, so a resumed run repeats the interrupted one and a network
trained beside others sees what it would see alone. A new use of randomness takes a new stream name.
"""
import hashlib

import torch
from torch import Tensor


def generator(seed: int, stream: str, *numbers: int) -> torch.Generator:
    """A CPU generator for one use: the same for the same names on every machine and device."""

    return torch.Generator().manual_seed(derive_seed(seed, stream, *numbers))


def derive_seed(seed: int, stream: str, *numbers: int) -> int:
    """63 bits for a generator that is not ours to make, such as the one that a module's dropout draws from."""

    name = '/'.join(map(str, (seed, stream, *numbers)))
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little') >> 1


def shuffle(values: Tensor, random: torch.Generator) -> Tensor:
    """The same values in another order: (n,) -> (n,)."""

    return values[torch.randperm(len(values), generator=random).to(values.device)]
