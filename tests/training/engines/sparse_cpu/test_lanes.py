"""Vector operations of the kernels, compared with numpy and torch."""
import numba
import numpy as np
import pytest
import torch

from lth.training.engines.sparse_cpu.kernels import lanes, shuffles, steps

NUMBERS = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)


def test_bytes_are_scaled_as_by_division():
    given, scaled = np.arange(256, dtype=np.uint8).reshape(4, 64), np.zeros((4, 64), dtype=np.float32)

    @numba.njit
    def run(given, scaled):
        for row in range(4):
            lanes.store(scaled, row, lanes.load_scaled(given, row))

    run(given, scaled)
    assert np.array_equal(scaled, given.astype(np.float32) / np.float32(255))


def test_exponential_is_exact_to_two_units_in_the_last_place_and_keeps_nan():
    given = np.concatenate([np.linspace(-86.9, 0, 639), [-np.inf]]).astype(np.float32).reshape(10, 64)
    powers = np.zeros_like(given)

    @numba.njit
    def run(given, powers):
        for row in range(len(given)):
            lanes.store(powers, row, lanes.exponential(lanes.load(given, row)))

    run(given, powers)
    expected = np.exp(given.astype(np.float64))
    assert powers[-1, -1] == 0
    assert np.max(np.abs(powers[:9] / expected[:9] - 1)) < 2 ** -22
    given[0, 0] = np.nan
    run(given, powers)
    assert np.isnan(powers[0, 0]) and not np.isnan(powers[0, 1:]).any()


@pytest.mark.parametrize(('where', 'expected'), [
    (lanes.where_greater, [0, 1, 0, 0, 0, 0]), (lanes.where_equal, [1, 0, 0, 0, 0, 0]),
    (lanes.where_greater_or_nan, [0, 1, 0, 1, 0, 1])])
def test_selection_compares_lane_by_lane_also_with_nan(where, expected):
    pairs = np.zeros((2, 64), dtype=np.float32)
    pairs[:, :6] = [[1, 2, 1, np.nan, 1, np.nan], [1, 1, 2, 1, np.nan, np.nan]]
    selected = np.zeros((1, 64), dtype=np.float32)

    @numba.njit
    def run(pairs, selected):
        left, right = lanes.load(pairs, 0), lanes.load(pairs, 1)
        lanes.store(selected, 0, where(left, right, lanes.splat(1.), lanes.splat(0.)))

    run(pairs, selected)
    assert selected[0, :6].tolist() == expected


def test_nan_is_the_maximum_of_a_pool_as_in_torch():
    """The condition that the pool uses is met exactly where torch takes the second of two inputs."""

    second, first = np.array([[np.nan, 1, np.nan, 2, 1], [1, np.nan, np.nan, 1, 1]], dtype=np.float32)
    _, taken = torch.nn.functional.max_pool1d(
        torch.tensor(np.stack([first, second], 1))[:, None], 2, return_indices=True)
    assert taken.flatten().tolist() == [1, 0, 1, 1, 0]
    assert ((second > first) | np.isnan(second)).tolist() == taken.flatten().bool().tolist()


def test_sum_over_lanes_and_sums_of_four_products_equal_numpy():
    rows, sums = np.array([3, 0, 7, 3, 5, 1], dtype=np.int32), np.ones(6, dtype=np.float32)

    @numba.njit
    def run(numbers, rows, sums):
        shuffles.add_products(sums, 1, lanes.load(numbers, 2), numbers, rows)
        return shuffles.lane_sum(lanes.load(numbers, 4))

    assert run(NUMBERS, rows, sums) == pytest.approx(NUMBERS[4].astype(np.float64).sum(), abs=1e-5)
    expected = 1 + (NUMBERS[2].astype(np.float64) * NUMBERS[rows[1:5]]).sum(1)
    assert sums[1:5] == pytest.approx(expected, abs=1e-4)
    assert sums[0] == sums[5] == 1


@pytest.mark.parametrize('pixels', [16, 17, 30, 48])
def test_transposed_chunks_hold_the_same_bytes(pixels):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (90, pixels), dtype=np.uint8)
    rows, transposed = random.integers(0, 90, 128), np.zeros((2, pixels, 64), dtype=np.uint8)
    steps.transpose_chunks(images, rows, transposed)
    assert np.array_equal(transposed, images[rows].reshape(2, 64, pixels).transpose(0, 2, 1))
