"""Captured evaluation, run without a capture, against the evaluation of the eager engine."""
from dataclasses import replace

import pytest
import torch

from lth.training.engines import metrics
from lth.training.engines.cuda.evaluation import CapturedEvaluation
from tests.conftest import initial_state, make_task


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Ten images at once: test sets of 48 images end with a batch that is not full."""

    monkeypatch.setattr(metrics, '_MAX_IMAGES', 10)


def assert_close(first, second):
    assert first.accuracy == second.accuracy and first.loss == pytest.approx(second.loss, rel=1e-6)


@pytest.mark.parametrize(('model', 'shape', 'seeds'), [
    ('lenet-300-100', (1, 8, 8), (0, 1)), ('conv-2', (3, 8, 8), (0,)), ('resnet20', (3, 8, 8), (0, 1))])
def test_captured_evaluation_equals_the_eager_one_on_test_and_validation_images(model, shape, seeds):
    task = make_task(model, shape=shape, seeds=seeds, data={'normalization': 'standardize'})
    state, evaluation = initial_state(task), CapturedEvaluation()
    for indices in (None, [validation for _, validation in task.splits]):
        assert_close(evaluation.evaluate(task, state, indices), metrics.evaluate(task, state, indices))


def test_a_captured_evaluation_that_is_used_again_reads_the_new_weights_images_and_seeds():
    task, evaluation = make_task('resnet20', shape=(3, 8, 8)), CapturedEvaluation()
    evaluation.evaluate(task, initial_state(task), [task.splits[0][1]])
    (first,) = evaluation._passes.values()
    other = replace(task, seeds=(5,))
    state, indices = initial_state(other), [other.splits[0][1]]
    assert_close(evaluation.evaluate(other, state, indices), metrics.evaluate(other, state, indices))
    assert [*evaluation._passes.values()] == [first]
    evaluation.evaluate(make_task('resnet20', shape=(3, 8, 8)), state, None)
    assert first not in evaluation._passes.values()


@pytest.mark.parametrize('at_most', [20, 25, 10_000])
def test_captured_statistics_of_batch_norm_equal_those_of_the_eager_engine(at_most):
    task, evaluation = make_task('resnet20', shape=(3, 8, 8), seeds=(0, 1)), CapturedEvaluation()
    state = initial_state(task)
    for _ in range(2):  # the second time with the statistics of the first
        expected = metrics.reestimate_batch_norm(task, state, at_most=at_most)
        captured = evaluation.reestimate_batch_norm(task, state, at_most=at_most)
        assert captured.buffers.keys() == expected.buffers.keys()
        for name, buffer in expected.buffers.items():
            assert torch.allclose(captured.buffers[name], buffer, rtol=1e-4, atol=1e-6), name
        state = captured


def test_streamed_images_are_evaluated_by_the_eager_evaluation(monkeypatch):
    task = make_task()
    called = []
    monkeypatch.setattr(metrics, 'evaluate', lambda *arguments: called.append(arguments))
    split = task.data.test._replace(images=object())
    streamed = replace(task, data=replace(task.data, test=split))
    CapturedEvaluation().evaluate(streamed, initial_state(task), None)
    assert len(called) == 1
