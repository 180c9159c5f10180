"""Criteria in a file of the user: `path/to/file.py:function`."""
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lth.registry import trust, user_modules

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1')


@pytest.fixture(autouse=True, name='file')
def file_with_a_criterion(lth):  # pylint: disable=unused-argument # whose folder is the current one
    """mine.py, whose criterion is that of magnitude pruning."""

    file = Path('mine.py')
    file.write_text('def score(initial, final, context):\n    return final.abs()\n', encoding='utf-8')
    yield file
    user_modules.forget()


def test_a_criterion_in_a_file_prunes_as_the_same_criterion_of_lth(lth):
    assert lth(*SEARCH, '--run', 'theirs', '--criterion', './mine.py:score').code == 0
    assert lth(*SEARCH, '--run', 'ours').code == 0
    theirs, ours = (load_file(f'runs/{run}/seed-0/round-01/mask.safetensors') for run in ('theirs', 'ours'))
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    assert lth('evaluate', 'theirs').code == 2  # as for models: the name comes from a file
    assert lth('evaluate', 'theirs', '--trust-code').code == 0


def test_an_edited_criterion_cannot_resume_a_run(lth, file):
    assert lth(*SEARCH, '--run', 'mine', '--criterion', 'mine.py:score').code == 0
    file.write_text('def score(initial, final, context):\n    return -final.abs()\n', encoding='utf-8')
    user_modules.forget()
    result = lth('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '1', '--run', 'mine', '--criterion',
                 'mine.py:score')
    assert result.code == 2 and 'criterion mine.py:score' in result.err


def test_a_criterion_that_only_a_recipe_names_is_not_run(lth, monkeypatch):
    recipe = lth(*SEARCH, '--criterion', 'mine.py:score', '--dry-run').out
    assert 'criterion: mine.py:score' in recipe
    shutil.move('mine.py', 'other.py')
    Path('other.yaml').write_text('algorithm: {criterion: "other.py:score"}\n', encoding='utf-8')
    monkeypatch.setattr(trust, '_Current', type('Nothing', (), {'trust': trust.Trust()}))
    result = lth(*SEARCH, '--recipe', 'other.yaml')
    assert result.code == 2 and '--trust-code' in result.err


@pytest.mark.parametrize(('name', 'message'), [
    ('mine.py:scores', "mine.py has no function 'scores', did you mean 'score'?"), ('nope.py:score', 'nope.py')])
def test_a_criterion_that_does_not_exist_is_an_error(lth, name, message):
    result = lth(*SEARCH, '--criterion', name, '--dry-run')
    assert (result.code, result.out) == (2, '') and message in result.err


def test_a_criterion_that_fails_is_named_with_its_line(lth, file):
    file.write_text('def score(initial, final, context):\n    return final[:3]\n', encoding='utf-8')
    result = lth(*SEARCH, '--criterion', 'mine.py:score')
    assert result.code == 2 and 'criterion mine.py:score' in result.err and 'shape' in result.err
