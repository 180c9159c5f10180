"""Checkpoints are read without running code; what asks for code, and what is no state dict, is refused."""
import os
import pickle

import pytest
import torch

from lth.errors import LthError
from lth.foreign.checkpoint_files import load_tensors


class Harmful:
    """Creates the file `executed` when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ('executed',)


def refusal(path):
    with pytest.raises(LthError) as caught:
        load_tensors(path)
    return str(caught.value)


@pytest.mark.parametrize('wrapped', [lambda tensors: tensors, lambda tensors: {'state_dict': tensors, 'epoch': 3}])
def test_a_state_dict_is_read_without_the_prefixes_of_wrappers(tmp_path, wrapped):
    torch.save(wrapped({'module._orig_mod.a.weight': torch.arange(3.)}), tmp_path / 'a.pt')
    assert load_tensors(tmp_path / 'a.pt')['a.weight'].tolist() == [0, 1, 2]


@pytest.mark.parametrize('save', [
    lambda path: torch.save({'weight': torch.ones(2), 'more': Harmful()}, path),
    lambda path: torch.save(Harmful(), path, _use_new_zipfile_serialization=False)])
def test_a_checkpoint_that_needs_code_is_refused_with_the_name_that_it_asks_for_and_nothing_runs(
        tmp_path, monkeypatch, save):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / 'a.pt')
    message = refusal(tmp_path / 'a.pt')
    assert 'without running code' in message and 'mkdir' in message and 'never executes' in message
    assert not (tmp_path / 'executed').exists()


def test_a_pickle_is_refused_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / 'a.pt').write_bytes(pickle.dumps(Harmful(), protocol))
        assert 'without running code' in refusal(tmp_path / 'a.pt')
    assert not (tmp_path / 'executed').exists()


def test_a_pickled_module_is_refused_with_the_name_of_its_class(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / 'a.pt')
    assert 'torch.nn.modules.linear.Linear' in refusal(tmp_path / 'a.pt')


@pytest.mark.parametrize(('content', 'message'), [
    ([torch.ones(2)], 'not a state dict'), ({}, 'not a state dict'), ({'a': 3}, 'not a tensor'),
    ({1: torch.ones(2)}, 'not a tensor with a name'), ({'a': torch.ones(2, 2).to_sparse()}, 'dense tensors'),
    ({'a': torch.ones(2, dtype=torch.complex64)}, 'real numbers')])
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / 'a.pt')
    assert message in refusal(tmp_path / 'a.pt')


def test_files_that_are_cut_off_or_no_checkpoints_are_refused(tmp_path):
    torch.save({'a': torch.ones(1000)}, tmp_path / 'a.pt')
    whole = (tmp_path / 'a.pt').read_bytes()
    for number, content in enumerate((whole[:-100], whole[:200], b'', b'{"a": 1}', os.urandom(500))):
        path = tmp_path / f'{number}.pt'
        path.write_bytes(content)
        assert str(path) in refusal(path)
    assert 'No such file' in refusal(tmp_path / 'nope.pt')
