"""The benchmark of convolutions computes the same by all methods; here Triton's interpreter runs the kernels."""
import pytest
import torch

from lth.benchmark.convolutions import Layer, time_convolutions
from lth.training.engines.cuda.convolution_kernels import Tile

TILES = [Tile(32, 4, 2), Tile(64, 4, 2)]


@pytest.mark.usefixtures('interpreted_kernels')
def test_every_method_is_timed_on_every_layer_and_computes_the_same():
    layers = [Layer(3, 4, 3, size=1), Layer(4, 6, 4, size=1, stride=2)]
    rows = time_convolutions(
        torch.device('cpu'), replicates=2, images=1, turns=1, dtype=torch.float32, layers=layers, tiles=TILES)
    assert [(row.layer, row.method) for row in rows] == [
        (layer, method) for layer in layers for method in ('separate', 'grouped', 'stacked')]
    assert all(row.error < 1e-5 for row in rows)
    assert all(min(row.forward, row.inputs, row.weights) > 0 for row in rows)
    assert all(set(row.tiles) <= set(TILES) and len(row.tiles) == 3 for row in rows if row.method == 'stacked')
