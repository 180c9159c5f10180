"""When the sparse engine is expected to be faster: values from the tables of docs/performance.md."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines.chains import Chain, supported_chain
from lth.training.engines.sparse_cpu import rule
from tests.conftest import make_task, mlp_task


def registry_chain(model: str, shape: tuple[int, int, int]) -> Chain:
    """The chain of a registered model with 10 classes."""

    chain = supported_chain(Network.of(settings_class(model)(name=model), shape, 10))
    assert chain
    return chain


def largest_percentage(chain: Chain, batch: int) -> int:
    """The largest density in percent, of every layer, at which the sparse engine is expected to be faster."""

    return max(percent for percent in range(101)
               if rule.faster([percent * layer.weight.size // 100 for layer in chain.layers], chain, batch))


def test_dense_rule_depends_on_density_widths_and_batch_size():
    def largest(batch: int, *widths: int) -> int:
        return largest_percentage(supported_chain(mlp_task(make_task(shape=(1, 28, 28)), *widths, classes=10).network),
                                  batch)

    assert [largest(batch, 300, 100) for batch in (1, 60, 64, 65, 128)] == [51, 100, 100, 65, 100]
    assert largest(60, 1000, 1000) < largest(128, 1000, 300) < 100


@pytest.mark.parametrize(('model', 'shape', 'percentages'), [
    ('conv-2', (3, 32, 32), [1, 13, 47, 50, 24, 49]), ('conv-6', (3, 32, 32), [0, 11, 46, 49, 24, 49]),
    ('lenet-5', (1, 28, 28), [20, 100, 100, 100, 100, 100])])
def test_convolution_rule_depends_on_density_positions_and_batch_size(model, shape, percentages):
    chain = registry_chain(model, shape)
    assert [largest_percentage(chain, batch) for batch in (1, 16, 60, 64, 65, 128)] == percentages


def dense_round_is_faster(chain: Chain, batch: int) -> bool:
    """Whether the sparse engine is expected to be faster if all weights are kept."""

    return rule.faster([layer.weight.size for layer in chain.layers], chain, batch)


@pytest.mark.parametrize(('widths', 'batches'), [
    ((100,), {60, 64, 128}), ((300, 100), {60, 64, 128}), ((300,) * 5, set()), ((1000, 1000), set())])
def test_round_that_keeps_all_weights_of_dense_layers_is_for_the_engine_that_was_measured_to_be_faster(widths, batches):
    chain = supported_chain(mlp_task(make_task(shape=(1, 28, 28)), *widths, classes=10).network)
    assert chain
    assert {batch for batch in (1, 16, 60, 64, 65, 128) if dense_round_is_faster(chain, batch)} == batches


@pytest.mark.parametrize(('model', 'shape', 'batches'), [
    ('lenet-5', (1, 28, 28), {16, 60, 128}), ('conv-2', (3, 32, 32), set()), ('conv-6', (3, 32, 32), set())])
def test_round_that_keeps_all_weights_of_convolutions_is_for_the_engine_that_was_measured_to_be_faster(
        model, shape, batches):
    chain = registry_chain(model, shape)
    assert {batch for batch in (1, 16, 60, 128) if dense_round_is_faster(chain, batch)} == batches


@given(st.lists(st.integers(1, 400), min_size=1, max_size=3), st.integers(1, 300), st.integers(0, 100))
def test_engine_that_is_faster_with_all_weights_is_faster_with_fewer(widths, batch, percent):
    for chain in (supported_chain(mlp_task(make_task(), *widths).network), registry_chain('lenet-5', (1, 16, 16))):
        assert chain
        kept = [percent * layer.weight.size // 100 for layer in chain.layers]
        assert rule.faster(kept, chain, batch) or not dense_round_is_faster(chain, batch)


def test_kept_weights_of_convolutions_cost_more_than_those_of_dense_layers():
    chain = registry_chain('conv-2', (3, 32, 32))
    sizes = [layer.weight.size for layer in chain.layers]
    assert rule.faster([*(size // 4 for size in sizes[:2]), *sizes[2:]], chain, 60)
    assert not rule.faster([*sizes[:2], *(size // 100 for size in sizes[2:])], chain, 60)


def test_obstacle_names_the_first_reason_that_a_recipe_cannot_be_sparse():
    task = make_task()
    for streamed, reason in ((False, None), (True, 'the images are streamed')):
        assert rule.sparse_obstacle(task.network, task.data_settings, task.training, streamed=streamed) == reason
    resnet = make_task('resnet20', shape=(3, 32, 32))
    reason = rule.sparse_obstacle(resnet.network, resnet.data_settings, resnet.training, streamed=True)
    assert reason == 'resnet20 is not a chain of convolutions and dense layers with ReLU between them'
