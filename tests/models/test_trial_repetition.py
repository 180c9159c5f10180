"""A user's file that is not the same after each import is refused, even if its module is the same in one process."""
import sys

import pytest

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.models.trial import Use, try_network
from lth.registry import user_modules

NET = '''
import math, torch, numpy as np, random
from torch import nn
{imports}

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.first, self.last = nn.Linear(math.prod(shape), 16), nn.Linear(16, classes)
        {change}

    def forward(self, images):
        return self.last(self.first(images.flatten(1)).relu(){forward})


def net(shape, classes):
    return Net(shape, classes)
'''


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder, and no modules of other tests."""

    user_modules.forget()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', sys.path[:])
    yield tmp_path
    user_modules.forget()


def tried(folder, imports: str, change: str = 'pass', forward: str = '', **files: str) -> Network:
    for name, text in files.items():
        (folder / f'{name}.py').write_text(text)
    (folder / 'net.py').write_text(NET.format(imports=imports, change=change, forward=forward))
    network = Network.of(settings_class('net.py:net')(name='net.py:net'), (1, 4, 4), 3)
    return try_network(network, Use(8, 16))


def test_weights_that_an_unseeded_generator_draws_at_import_are_refused(folder):
    with pytest.raises(LthError, match='first.weight differs each time that its file is imported, so a run could not'):
        tried(folder, 'W = torch.from_numpy(np.random.default_rng().normal(size=(16, 16))).float()',
              'self.first.weight.data.copy_(W)')


@pytest.mark.parametrize('numbers', [
    'np.random.default_rng().normal(size=16)', '[random.SystemRandom().random() for _ in range(16)]',
    '[random.Random().random() for _ in range(16)]', 'np.random.Generator(np.random.PCG64()).normal(size=16)'])
def test_numbers_that_only_forward_uses_are_found(folder, numbers):
    with pytest.raises(LthError, match='its output in training mode differs each time that its file is imported'):
        tried(folder, f'FACTORS = torch.tensor({numbers}, dtype=torch.float32)', forward=' * FACTORS')


def test_a_module_next_to_the_file_is_imported_again_too(folder):
    with pytest.raises(LthError, match='differs each time that its file is imported'):
        tried(folder, 'from parts import FACTOR', forward=' * FACTOR',
              parts='import numpy as np\nFACTOR = float(np.random.default_rng().normal())')


@pytest.mark.parametrize('imports', [
    'FACTOR = float(np.random.default_rng(3).normal())', 'FACTOR = float(np.random.rand())',
    'FACTOR = random.Random(1).random()', 'FACTOR = torch.rand((), generator=torch.Generator().manual_seed(1))'])
def test_numbers_that_are_the_same_after_each_import_are_accepted(folder, imports):
    assert tried(folder, imports, forward=' * FACTOR').notes == ()


def test_the_first_modules_are_back_after_the_second_import_and_print_once(folder, capsys):
    parts = 'import random\nrng = random.Random(1)'
    tried(folder, 'import parts\nfrom parts import rng\nprint("imported")', parts=parts)
    imported = sys.modules['parts'].rng
    assert imported is next(module for name, module in sys.modules.items() if name.startswith('net_of_user')).rng
    assert capsys.readouterr().out == 'imported\n'


def test_a_file_that_cannot_be_imported_twice_is_accepted(folder):
    tried(folder, '''
import sys
if hasattr(sys, 'imported_once'):
    raise RuntimeError('twice')
sys.imported_once = True
rng = np.random.default_rng(0)''')
    del sys.imported_once  # type: ignore[attr-defined]


def test_a_file_without_random_numbers_is_imported_once(folder, monkeypatch):
    monkeypatch.setattr(user_modules, 'second_import', lambda: pytest.fail('imported again'))
    assert tried(folder, 'FACTOR = 2', forward=' * FACTOR').notes == ()
