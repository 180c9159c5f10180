"""Multiply-adds of convolutions and dense layers for one image: with all weights, and with the weights that are kept.

These are the products of a forward pass, see lth/models/operation_counts.py. LeNet-300-100 has 266,200 weights for
images of 28 × 28, and each is multiplied once: 266,200 dense multiply-adds, and 6,655 if a fortieth of each layer is
kept. Those of a training are in training_operations.py.
"""
from collections.abc import Iterable
from typing import NamedTuple, Self

from lth.runs.round_record import LayerRecord, RoundRecord


class LayerOperations(NamedTuple):
    """Multiply-adds of a layer for one image, with all of its weights and with the kept ones; None if unknown."""

    name: str
    dense: int | None
    surviving: int | None

    @classmethod
    def of(cls, layer: LayerRecord) -> Self:
        """The multiply-adds of a layer that a round recorded."""

        if layer.uses is None:
            return cls(layer.name, None, None)
        return cls(layer.name, layer.uses * layer.weights, layer.uses * layer.kept)


class Operations(NamedTuple):
    """Multiply-adds of a network for one image, with all weights and with the kept ones."""

    dense: int
    surviving: int


def recorded_layer_operations(record: RoundRecord) -> list[LayerOperations]:
    """The multiply-adds of each layer of a round; [] if an earlier version did not record them."""

    return list(map(LayerOperations.of, record.layers))


def total_operations(layers: Iterable[LayerOperations]) -> Operations | None:
    """The multiply-adds of all layers; None if they are unknown for one of them, or if there are none."""

    dense, surviving = [], []
    for layer in layers:
        if layer.dense is None or layer.surviving is None:
            return None
        dense.append(layer.dense)
        surviving.append(layer.surviving)
    return Operations(sum(dense), sum(surviving)) if dense else None


def round_operations(record: RoundRecord) -> Operations | None:
    """The multiply-adds of the network of a round for one image; None if they are unknown."""

    return total_operations(recorded_layer_operations(record))
