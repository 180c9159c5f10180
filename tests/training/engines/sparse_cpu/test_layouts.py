"""The layout of kept weights: the worked example of dense_layout.py, and what holds for every network and mask."""
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.training.engines.chains import Chain, supported_chain
from lth.training.engines.sparse_cpu import dense_layout
from lth.training.engines.sparse_cpu.prepared import PreparedNetwork, prepare_chain
from tests.conftest import CPU, make_task, mlp_task
from tests.training.engines.sparse_cpu.sparse_tasks import SPARSE, conv_task, in_float64, random_ticket, train_to

WIDTHS = st.lists(st.integers(1, 6), min_size=2, max_size=5)
CONVOLUTION = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 3), st.booleans()).map(
    lambda layer: (*layer[:2], min(layer[2], layer[1] - 1), layer[3]))
SEEDS = st.integers(0, 1000)


def dense_chain(widths: list[int]) -> Chain:
    """A chain of dense layers with these widths, inputs first. Its flat vector has all weights, then all biases."""

    network = mlp_task(make_task(shape=(1, 1, widths[0])), *widths[1:-1], classes=widths[-1]).network
    chain = supported_chain(network)
    assert chain
    return chain


def random_mask(chain: Chain, seed: int) -> np.ndarray:
    """A mask of all weights and biases with a random density."""

    random = np.random.default_rng(seed)
    return random.random(max(layer.bias.stop for layer in chain.dense)) < random.random()


def prepared_network(chain: Chain, mask: np.ndarray) -> PreparedNetwork:
    """The network of a mask; its weights do not matter here."""

    return prepare_chain(chain, torch.from_numpy(mask), torch.zeros(len(mask)))


def values(sparse: PreparedNetwork, weights: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The rows of values for one image, computed slice by slice as the layout describes."""

    matrix, inputs = sparse.structure.matrix, sparse.structure.inputs
    rows = np.zeros(len(sparse.workspace.values))
    rows[0], rows[inputs.rows] = 1, pixels[inputs.pixels]
    first, kept = len(rows) - matrix.units, weights[sparse.indices]
    for unit, start, stop, _, is_last in zip(*matrix.slices):
        rows[first + unit] += kept[start:stop] @ rows[matrix.columns[start:stop]]
        if is_last and unit < matrix.units - matrix.classes:
            rows[first + unit] = max(rows[first + unit], 0)
    return rows


def test_worked_example_with_three_inputs_two_hidden_units_and_one_output():
    mask = np.zeros(11, dtype=bool)
    mask[[0, 2, 4, 6, 8, 9, 10]] = True
    sparse = prepared_network(dense_chain([3, 2, 1]), mask)
    matrix = sparse.structure.matrix
    assert sparse.indices.tolist() == [8, 0, 2, 9, 4, 10, 6]
    assert matrix.columns.tolist() == [0, 1, 2, 0, 0, 0, 3]
    assert sparse.structure.inputs.pixels.tolist() == [0, 2]
    assert [part.tolist() for part in matrix.slices] == [[0, 2], [0, 5], [3, 7], [True, True], [True, True]]
    assert (len(sparse.workspace.values), matrix.units, matrix.classes, sparse.work) == (6, 3, 1, 7)
    weights = np.array([1, 9, 2, 9, 9, 9, 3, 9, 0.5, 9, -1])
    assert values(sparse, weights, np.array([4., 9., 5.])).tolist() == [1, 4, 5, 14.5, 0, 42.5]


@settings(max_examples=60)
@given(widths=WIDTHS, seed=SEEDS)
def test_every_kept_weight_has_one_entry_and_only_connected_units_have_slices(widths, seed):
    chain = dense_chain(widths)
    mask = random_mask(chain, seed)
    sparse = prepared_network(chain, mask)
    assert sorted(sparse.indices) == np.flatnonzero(mask).tolist()
    paths = [np.eye(widths[-1], dtype=bool)]
    for layer in reversed(chain.dense):
        paths.append(paths[-1] @ mask[layer.weight.start:layer.weight.stop].reshape(layer.weight.shape))
    connected = [path.any(0) for path in reversed(paths)]
    units = np.unique(sparse.structure.matrix.slices.units)
    assert np.array_equal(units, np.flatnonzero(np.concatenate(connected[1:])))
    assert np.array_equal(sparse.structure.inputs.pixels, np.flatnonzero(connected[0]))


@settings(max_examples=60)
@given(widths=WIDTHS, seed=SEEDS, tile_rows=st.integers(1, 100))
def test_dense_layout_computes_the_masked_network_for_every_size_of_tiles(widths, seed, tile_rows):
    chain, random = dense_chain(widths), np.random.default_rng(seed)
    mask = random_mask(chain, seed)
    weights, image = random.normal(size=len(mask)), random.random(widths[0])
    before = dense_layout._TILE_ROWS, dense_layout._TILE_WEIGHTS  # pylint: disable=protected-access
    dense_layout._TILE_ROWS, dense_layout._TILE_WEIGHTS = tile_rows, 1  # pylint: disable=protected-access
    try:
        logits = values(prepared_network(chain, mask), weights, image)[-widths[-1]:]
    finally:
        dense_layout._TILE_ROWS, dense_layout._TILE_WEIGHTS = before  # pylint: disable=protected-access
    expected = image
    for layer in chain.dense:
        expected = expected if layer is chain.dense[0] else np.maximum(expected, 0)
        weight = (weights * mask)[layer.weight.start:layer.weight.stop].reshape(layer.weight.shape)
        expected = weight @ expected + (weights * mask)[layer.bias.start:layer.bias.stop]
    assert np.allclose(logits, expected)


@settings(max_examples=30)
@given(convolutions=st.lists(CONVOLUTION, min_size=1, max_size=3), percent=st.integers(0, 100),
       height=st.integers(9, 12), width=st.integers(9, 12), channels=st.sampled_from([1, 3]))
def test_one_step_equals_the_eager_engine_for_every_chain_of_convolutions(
        convolutions, percent, height, width, channels):
    task = make_task(shape=(channels, height, width), optimizer={'name': 'sgd', 'learning_rate': 0.1}, batch_size=2)
    try:
        task = conv_task(task, *convolutions)
    except RuntimeError:  # an image is smaller than a kernel
        return
    state, mask = random_ticket(task, percent / 100)
    sparse = train_to(task, state, mask, 1)
    eager = train_to(task, in_float64(state), mask, 1, engine=CPU)
    assert (sparse.weights - eager.weights).abs().max() < 1e-5
    assert SPARSE.evaluate(task, sparse, None).accuracy == CPU.evaluate(task, sparse, None).accuracy


@settings(max_examples=20)
@given(convolutions=st.lists(CONVOLUTION, min_size=1, max_size=3), percent=st.integers(0, 100))
def test_rows_of_a_convolution_stay_inside_the_workspace(convolutions, percent):
    """numba does not check bounds, so no weight may point outside the values and deltas."""

    task = conv_task(make_task(shape=(1, 16, 16)), *[(*layer[:3], False) for layer in convolutions])
    _, mask = random_ticket(task, percent / 100)
    sparse = prepared_network(supported_chain(task.network), mask[0].numpy())
    memory, structure = sparse.workspace, sparse.structure.convolutions
    for layer in structure.layers:
        last = (layer['height'] - 1) // 2 * 2 * layer['input_line'] + (layer['width'] - 1) // 2 * 2
        corner = layer['input_row'] + last + layer['input_line'] + 1
        offsets = structure.offsets[structure.incoming[layer['first']]:structure.incoming[layer['stop']]]
        assert corner + offsets.max(initial=0) < len(memory.values)
        assert layer['output_row'] + (layer['stop'] - layer['first']) * layer['output_channel'] <= len(memory.values)
        assert layer['delta_row'] - layer['delta_margin'] >= 0
    assert len(structure.outgoing_offsets) == len(structure.outgoing_weights) == structure.outgoing[-1]
