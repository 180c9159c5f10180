"""Random generators by seed, stream and numbers."""
import torch

from lth import rng


def test_equal_arguments_give_equal_random_numbers_no_matter_what_was_sampled_before():
    first = torch.rand(5, generator=rng.generator(3, 'order', 7))
    torch.rand(100)
    assert torch.equal(first, torch.rand(5, generator=rng.generator(3, 'order', 7)))


def test_seed_stream_and_number_each_change_the_random_numbers():
    names = [(0, 'order', 0), (1, 'order', 0), (0, 'flip', 0), (0, 'order', 1), (0, 'order')]
    samples = {tuple(torch.rand(3, generator=rng.generator(*name)).tolist()) for name in names}
    assert len(samples) == 5


def test_the_global_generator_is_not_used():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    rng.generator(1, 'x')
    assert torch.equal(torch.rand(1), expected)
