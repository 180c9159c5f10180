"""Searches that are interrupted after every round and resumed from files write the same bytes as uninterrupted ones."""
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lth.algorithms import ALGORITHMS, imp, imp_settings
from lth.pruning.criteria import CRITERIA
from lth.pruning.mask_actions import MASK_ACTIONS
from lth.pruning.tickets import Round
from lth.runs.folder import Run
from lth.training.task import Task
from tests.algorithms.trained_masks.test_gem_miner import mining
from tests.algorithms.trained_masks.test_trained_masks import VARIANTS, settings_of
from tests.conftest import CPU, make_task


def compare_resumed_search(folder: Path, task: Task, find: Callable[[Sequence[Round]], Iterator[Round]]) -> int:
    """Assert that a search resumed after each round writes the files of an uninterrupted one; return its round count.
    """

    recipe = {'model': {'name': task.network.settings.name}, 'data': {'name': 'made-up'}}
    whole, killed = (Run(folder / name, recipe, task.network) for name in ('whole', 'killed'))
    for round_ in find(()):
        whole.save(round_, task.seeds)
    rounds = whole.round_count(task.seeds[0])
    for number in range(rounds):
        past = killed.stored_rounds(task.seeds, CPU.device)
        assert len(past) == number
        killed.save(next(find(past)), task.seeds)
    paths = [path.relative_to(whole.folder) for path in whole.folder.rglob('*') if path.is_file()]
    assert len(paths) >= 4 * rounds * len(task.seeds)
    assert all((killed.folder / path).read_bytes() == (whole.folder / path).read_bytes() for path in paths)
    return rounds


@pytest.mark.parametrize('over', [
    {}, {'shots': 'one-shot'}, {'scope': 'global', 'rewind': '2 iterations'},
    *[{'retrain': name} for name in ('strategy-2', 'learning-rate-rewinding', 'fine-tuning')],
    *[pytest.param({'criterion': name, 'mask_1_action': 'reinitialize'}, marks=pytest.mark.slow)
      for name in CRITERIA.names()],
    *[pytest.param({'mask_1_action': name}, marks=() if name == 'reinitialize' else pytest.mark.slow)
      for name in MASK_ACTIONS.mask_1.names() if name != 'rewind'],
    *[pytest.param({'mask_0_action': name}, marks=() if name == 'freeze' else pytest.mark.slow)
      for name in MASK_ACTIONS.mask_0.names() if name != 'zero']], ids=str)
def test_tickets_of_every_criterion_action_and_retraining_resume_byte_for_byte(tmp_path, over):
    task = make_task(seeds=(0, 1), data={'flip': True}, length='2 epochs')
    settings = imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 3} | over)
    assert compare_resumed_search(tmp_path, task, lambda past: imp.find_ticket(task, settings, past)) == 4


@pytest.mark.parametrize(('name', 'over'), VARIANTS)
def test_gems_of_every_algorithm_that_trains_scores_resume_byte_for_byte(tmp_path, name: str, over: dict[str, Any]):
    task = mining()
    settings = settings_of(name, **over)
    assert compare_resumed_search(
        tmp_path, task, lambda past: ALGORITHMS.find(name).find(task, settings, past)) > 1
