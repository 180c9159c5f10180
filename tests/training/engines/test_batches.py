"""The batches of an epoch: which images, in which order, for which replicate."""
from dataclasses import replace

import torch

from lth.datasets import Split, sampling
from lth.training.engines.batches import Batches
from tests.conftest import full_mask, initial_state, make_task


def epoch_batches(task, epoch=0):
    batches = Batches(task, torch.float32)
    batches.start_epoch(epoch)
    return [batches.batch(columns) for columns in batches.columns]


def test_an_epoch_has_each_training_image_once_in_the_order_of_the_seed():
    task = make_task(seeds=(0, 4))
    images = torch.cat([images for images, _ in epoch_batches(task, 2)], 1)
    for row, (seed, (training, _)) in enumerate(zip(task.seeds, task.splits)):
        order = sampling.epoch_order(training, seed, 2)
        assert torch.equal(images[row], task.data.train.images[order] / 255)
    assert not torch.equal(images[0], images[1])


def test_images_that_do_not_fill_a_batch_are_left_out():
    task = make_task(images=48, data={'validation': 5})
    batches = epoch_batches(task)
    assert [tuple(labels.shape) for _, labels in batches] == [(1, 8)] * (43 // 8)


def test_labels_belong_to_the_images():
    task = make_task(data={'crop': 2, 'flip': True})
    brightness = {label: [] for label in range(4)}
    for images, labels in epoch_batches(task):
        for image, label in zip(images[0], labels[0].tolist()):
            brightness[label].append(image.amax().item())
    means = [sum(values) / len(values) for values in brightness.values()]
    assert means == sorted(means)


class FakeStream:
    """Images that are read in the given order; records which ones were requested."""

    def __init__(self, images):
        self.images, self.shape, self.requests = images, images.shape, []

    def batches(self, indices, size):
        """The images in batches."""

        self.requests.append(len(indices))
        return (self.images[rows] for rows in indices.split(size))


def test_a_stream_yields_the_same_batches_as_memory_also_from_the_middle_of_an_epoch():
    task = make_task()
    stream = FakeStream(task.data.train.images)
    data = replace(task.data, train=Split(stream, task.data.train.labels))
    streamed = Batches(replace(task, data=data), torch.float32)
    expected = epoch_batches(task, 1)
    for first in (0, 3):
        streamed.start_epoch(1)
        for columns, (images, labels) in zip(streamed.columns[first:], expected[first:]):
            batch = streamed.batch(columns)
            assert torch.equal(batch[0], images) and torch.equal(batch[1], labels)
    assert stream.requests == [40, 16]


def test_a_streamed_task_trains_to_the_same_bits_as_one_in_memory():
    task = make_task(data={'flip': True})
    data = replace(task.data, train=Split(FakeStream(task.data.train.images), task.data.train.labels))
    weights = []
    for version in (task, replace(task, data=data)):
        segments = version.engine.run(version, initial_state(task), trainable=full_mask(task), stops=[4, 12])
        weights.append(list(segments)[-1].state.weights)
    assert torch.equal(*weights)
