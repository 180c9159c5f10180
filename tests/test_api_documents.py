"""The documents of the Python API run as written: docs/python.md, and a search with objects. tests/test_documents.py
runs docs/tutorial.ipynb.
"""
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parent.parent
# A search with a factory and arrays, its results, and the rounds without files.
EXAMPLE = '''
import lth

run = lth.find_ticket(make_net, (train_images, train_labels, test_images, test_labels), rounds=10, epochs=5,
                      seeds=range(3), run='runs/mine', settings={'algorithm.rewind': '500 iterations'},
                      controls=['reinit'])
run.table()                       # one row per seed and round; run.metrics(): one row per measurement (tidy)
run.table().to_pandas()           # both are sequences of rows; needs the extra `pandas`
ticket = run.ticket(seed=0, round=7)          # = lth.load_ticket('runs/mine/seed-0/round-07')
model = ticket.module()
for round in lth.iterate(make_net, 'mnist', rounds=3): ...   # the generator itself, no files
'''
PREPARATION = '''
from torch import nn
from torchvision.datasets import MNIST

train, test = MNIST('datasets', train=True), MNIST('datasets', train=False)
train_images, train_labels, test_images, test_labels = (
    train.data[:15_000], train.targets[:15_000], test.data[:2000], test.targets[:2000])


def make_net(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, classes))
'''
CHECKS = '''
assert len(run.table()) == 33 and len(run.metrics().to_pandas()) > 33 and len(run.controls['reinit'].table()) == 33
assert ticket.provenance['round'] == 7 and isinstance(model, nn.Module) and round.number == 3
'''


def run_script(folder: Path, *blocks: str) -> None:
    (folder / 'script.py').write_text('\n\n'.join(blocks))
    process = subprocess.run([sys.executable, 'script.py'], cwd=folder, capture_output=True, text=True, check=False,
                             env=os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'})
    assert process.returncode == 0, process.stderr


def run_notebook(folder: Path, notebook: nbformat.NotebookNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    client = nbclient.NotebookClient(
        notebook, timeout=800, kernel_name='python3', resources={'metadata': {'path': str(folder)}})
    client.execute()


@pytest.fixture(name='mnist')
def _mnist(tmp_path: Path, real_data: Callable[[str], Path]) -> Path:
    (tmp_path / 'datasets').symlink_to(real_data('MNIST/raw/train-images-idx3-ubyte').resolve())
    return tmp_path


@pytest.mark.slow
def test_the_examples_of_docs_python_md_run_as_a_script(tmp_path):
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'docs/python.md').read_text(), re.DOTALL)
    assert len(blocks) >= 10
    run_script(tmp_path, *blocks)


def test_docs_python_md_names_every_public_function_and_registry():
    import lth  # pylint: disable=import-outside-toplevel # a fixture of other tests has this name
    text = (ROOT / 'docs/python.md').read_text()
    assert {name for name in lth.__all__ if f'lth.{name}' not in text and f'`{name}`' not in text} == set()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_factory_and_arrays_run_in_a_script(mnist):
    run_script(mnist, PREPARATION, EXAMPLE, CHECKS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_factory_and_arrays_run_in_a_notebook_also_when_the_cell_is_executed_again(mnist, monkeypatch):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in (PREPARATION, EXAMPLE, CHECKS, EXAMPLE)]
    run_notebook(mnist, notebook, monkeypatch)
