"""Random generators that are functions of a seed, the name of a stream and numbers, never a global generator.

Equal arguments give equal random numbers, no matter what was sampled before. A resumed run therefore repeats the
interrupted one, and a network trained together with others gets the same numbers as one trained alone. A new use of
randomness takes a new stream name.
"""
import hashlib

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
