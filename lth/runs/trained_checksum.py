"""The checksum of the trained weights of a round, which measurements of these weights record."""
import hashlib
from collections.abc import Iterable
from pathlib import Path

from lth.runs import integrity, seed_folders
from lth.system.memory import total_memory

_NAME = 'trained.safetensors'


def trained_checksum(run: Path, seed: int, number: int) -> str:
    """The SHA-256 of trained.safetensors in a round, also if the option --keep removed the file. LthError if the round
    is damaged.
    """

    folder = integrity.open_folder(seed_folders.round_folder(run, seed, number), integrity.repair_advice(run))
    if _NAME in folder.removed:
        return folder.removed[_NAME].sum
    if folder.sums is not None and _NAME in folder.sums:
        return folder.sums[_NAME]
    return hashlib.sha256(folder.read(_NAME, at_most=total_memory())).hexdigest()  # version 0.1.0 recorded none


def trained_checksums(run: Path, rounds: Iterable[tuple[int, int]]) -> list[str]:
    """`trained_checksum` of each of these seeds and rounds."""

    return [trained_checksum(run, seed, number) for seed, number in rounds]
