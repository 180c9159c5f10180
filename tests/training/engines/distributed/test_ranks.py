"""What ranks exchange, and what they say if one has other values, fails or ends."""
import os

import torch

from lth.errors import LthError
from lth.training.engines.batches import Batches
from lth.training.engines.distributed import evaluation
from lth.training.engines.distributed.sharded_pass import shard
from tests.conftest import initial_state, make_task
from tests.ranks import on_ranks


def exchanged(ranks):
    mine = torch.tensor([float(ranks.rank + 1)])
    added = mine.clone()
    ranks.add(added)
    ranks.refuse_differences('Round 1', {'the mask': added})
    errors = []
    for attempt in (lambda: ranks.refuse_differences('Round 1', {'the sum': added, 'the mask': mine}),
                    lambda: ranks.refuse_failures(LthError('no disk', exit_code=3) if ranks.rank else None)):
        try:
            attempt()
        except LthError as error:
            errors.append(str(error))
    return added, ranks.collect(mine), ranks.from_first(lambda: 'first'), ranks.largest(ranks.rank), errors


def test_ranks_exchange_values_and_refuse_what_differs(tmp_path):
    for added, collected, first, largest, errors in on_ranks(exchanged, tmp_path):
        assert added.tolist() == [3.] and collected.tolist() == [[1.], [2.]]
        assert (first, largest) == ('first', 1)
        assert errors[0].startswith('Round 1: rank 1 has other values of the mask than rank 0')
        assert errors[1].startswith('Rank 1 of 2 on ') and errors[1].endswith(': no disk')


def left_alone(ranks, publishes):
    if ranks.rank == 1:
        if publishes:
            ranks.publish_failure(LthError('image.png cannot be decoded'))
        os._exit(9)
    ranks.add(torch.zeros(1))


def test_a_rank_that_ends_is_reported_by_the_others_with_its_error_if_it_had_one(tmp_path):
    error = on_ranks(left_alone, tmp_path, False, missing={1})[0]
    assert 'Rank 0 of 2' in str(error) and 'another rank has ended, or does not answer' in str(error)
    assert error.exit_code == 3 and len(str(error)) < 400
    (tmp_path / 'other').mkdir()
    error = on_ranks(left_alone, tmp_path / 'other', True, missing={1})[0]
    assert str(error).startswith('Rank 1 of 2 on ') and str(error).endswith(': image.png cannot be decoded')


def measured(ranks, task, count):
    return evaluation.evaluate(ranks, task, initial_state(task), [torch.arange(count)])


def test_every_image_is_measured_once_also_if_ranks_get_none(tmp_path):
    task = make_task(shape=(1, 8, 8))
    for count in (47, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        alone = task.engine.evaluate(task, initial_state(task), [torch.arange(count)])
        for metrics in on_ranks(measured, folder, task, count, size=3):
            assert metrics.accuracy == alone.accuracy
            assert abs(metrics.loss[0] - alone.loss[0]) < 1e-6


def test_each_rank_streams_its_part_of_every_batch():
    class Stream:
        shape = (48, 1, 8, 8)

        def batches(self, indices, size):
            for rows in indices.split(size):
                yield rows.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).to(torch.uint8)
    task = make_task(batch_size=7)
    whole = task.data.train
    task.data.__dict__['train'] = whole._replace(images=Stream())
    try:
        everything = Batches(task, torch.float32)
        parts = [Batches(task, torch.float32, slice(0, 3)), Batches(task, torch.float32, slice(3, 7))]
        for batches in (everything, *parts):
            batches.start_epoch(1)
        for step in range(2, task.steps_per_epoch):
            images, labels = everything.batch(everything.columns[step])
            read = [part.batch(part.columns[step]) for part in parts]
            assert torch.equal(images, torch.cat([images for images, _ in read], 1))
            assert torch.equal(labels, torch.cat([labels for _, labels in read], 1))
    finally:
        task.data.__dict__['train'] = whole


def test_parts_of_a_batch_differ_by_one_image_at_most():
    class Ranks:
        def __init__(self, rank, size):
            self.rank, self.size = rank, size
    for count, size in ((8, 3), (7, 2), (2, 3)):
        parts = [list(range(count))[shard(count, Ranks(rank, size))] for rank in range(size)]
        assert sum(parts, []) == list(range(count))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
