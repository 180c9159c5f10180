"""Matrices that no algorithm prunes, such as the weights of an LSTM: as a round records them, and in one sentence."""
from collections.abc import Sequence

from lth.errors import shorten_words
from lth.runs.stored import Count, ShortText, Stored

_NAMES = 4


class UnprunedRecord(Stored):
    """The name of a tensor of two or more dimensions that is not pruned, and its number of weights."""

    name: ShortText
    weights: Count


def unpruned_sentence(tensors: Sequence[UnprunedRecord]) -> str:
    """What is not pruned: the first names, and how many weights these are; '' if there are none."""

    if not tensors:
        return ''
    names = ', '.join(shorten_words(tensor.name) for tensor in tensors[:_NAMES]) + ', …' * (len(tensors) > _NAMES)
    return (f'not pruned: {names} ({sum(tensor.weights for tensor in tensors):,} weights in {len(tensors)} tensors, '
            'which no density counts). Weights of convolutions and dense layers are pruned')
