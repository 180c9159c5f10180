"""`lth transfer`: to another data set, and to another optimizer."""
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lth.datasets import DATASETS
from lth.recipes.schema import DataSettings
from tests.printed_json import printed_json

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2', '--run', 'source')
# Half of the digits' classes: the same images, another output layer.
HALF_OF_DIGITS = '''
from sklearn.datasets import load_digits


def few():
    images, labels = load_digits(return_X_y=True)
    images, labels = (images[labels < 5] * 15).astype('uint8').reshape(-1, 8, 8), labels[labels < 5]
    return (images[:700], labels[:700]), (images[700:], labels[700:])
'''


def test_tickets_are_transferred_to_a_data_set_with_other_classes_and_compared_with_random_tickets(lth):
    printed_json(lth, *SEARCH)
    Path('images.py').write_text(HALF_OF_DIGITS)
    command = ('transfer', 'source', '--to', 'images.py:few', '-e', '2', '--rounds', '0,2', '--random-tickets')
    found = printed_json(lth, *command)
    # Of the output layer, 1,000 weights there and 500 here, none is pruned.
    assert found['run'] == 'runs/source-to-images.py-few-round-02'
    assert [row['kept'] for row in found['rounds']] == [49_700, 31_488 + 500]
    assert [row['kept'] for row in found['controls']['random']] == [row['kept'] for row in found['rounds']]
    source, target = (load_file(f'runs/{name}/ticket.safetensors')
                      for name in ('source/seed-0/round-02', 'source-to-images.py-few-round-02/seed-0/round-01'))
    assert source['dense1.weight'].equal(target['dense1.weight'])
    assert source['output.weight'].shape[0] == 10 and target['output.weight'].shape[0] == 5
    text = lth(*command).out
    assert [line.split()[0] for line in text.splitlines() if 'random ' in line] == ['0', '2']


def test_a_transfer_is_resumed_byte_for_byte_and_evaluated(lth):
    printed_json(lth, *SEARCH)
    command = ('transfer', 'source', '--to', 'digits', '-e', '1', '--random-tickets')
    printed_json(lth, *command)

    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in Path('runs').rglob('round-0?/*')}
    complete = contents()
    shutil.rmtree('runs/source-to-digits-round-02/seed-0/round-02')
    shutil.rmtree('runs/source-to-digits-round-02-controls/random/seed-0')
    printed_json(lth, *command)
    assert contents() == complete
    measured = printed_json(lth, 'evaluate', 'source-to-digits-round-02')['evaluations']
    assert len(measured) == 3
    assert all(one['test_accuracy_percent'] == one['recorded_accuracy_percent'] for one in measured)


def test_tickets_are_transferred_to_another_optimizer(lth):
    printed_json(lth, *SEARCH)
    shown = printed_json(lth, 'transfer', 'source', '--to', 'digits', '--optimizer', 'sgd', '-l', '0.1', '--set',
                         'training.optimizer.momentum=0.9', '--dry-run')
    assert shown['recipe']['training']['optimizer'] == {
        'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9, 'nesterov': False, 'weight_decay': 0.0}
    command = ('transfer', 'source/seed-0/round-01', '--to', 'digits', '-e', '1', '--optimizer', 'sgd', '-l', '0.1')
    found = printed_json(lth, *command)
    assert found['run'] == 'runs/source-to-digits-sgd-seed-0-round-01' and len(found['rounds']) == 1


def test_a_transfer_of_the_current_folder_is_next_to_it(lth, tmp_path, monkeypatch):
    printed_json(lth, *SEARCH)
    monkeypatch.chdir('runs/source')
    assert printed_json(lth, 'transfer', '.', '--to', 'digits', '-e', '1', '--rounds', '0')['run'] == str(
        tmp_path / 'runs/source-to-digits-round-00')


@pytest.mark.parametrize(('options', 'message'), [
    (('--to', 'mnist'), 'A ticket for images of 1×8×8 does not fit images of 1×28×28: dense1.weight is 300×64 in the '
                        'source run and 300×784 here. Resize the new images to the size of the source: --set '
                        'data.size=8 --set data.channels=1.'),
    (('--to', 'digit'), "Unknown data set 'digit', did you mean 'digits'"),
    (('--to', 'digits', '--rounds', '7'), 'has no round 7 of all seeds [0]; its rounds are 0 to 2'),
    (('--to', 'digits', '--set', 'algorithm.rounds=[0, 1]'), "'algorithm.rounds' cannot be set, as its value comes"),
    (('--to', 'digits', '--optimizer', 'sgd'), "the key 'learning_rate' is missing")])
def test_impossible_transfers_are_errors_before_training(lth, options, message):
    printed_json(lth, *SEARCH)
    result = lth('transfer', 'source', *options)
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert [path.name for path in Path('runs').iterdir()] == ['source']


@pytest.mark.slow
def test_halves_of_cifar10_share_no_image_and_have_2500_of_each_class(real_data):
    folder = real_data('cifar-10-batches-py/data_batch_1')
    settings = DataSettings(name='cifar10')
    complete, *halves = (DATASETS.find(name).read(folder, settings) for name in ('cifar10', 'cifar10a', 'cifar10b'))
    for half in halves:
        assert half.train.labels.bincount().tolist() == [2500] * 10 and half.mean == complete.mean
        assert half.test.images.equal(complete.test.images)
    images = [[image.numpy().tobytes() for image in some.train.images] for some in (complete, *halves)]
    assert sorted(images[1] + images[2]) == sorted(images[0])
    assert not set(images[1]) & set(images[2])


def test_signs_are_transferred_to_a_run_named_after_them(lth):
    printed_json(lth, *SEARCH)
    found = printed_json(lth, 'transfer', 'source', '--to', 'digits', '-e', '1', '--rounds', '2', '--carry', 'signs')
    assert found['run'] == 'runs/source-to-digits-signs-round-02'
    trained, ticket = (load_file(f'runs/{name}.safetensors')['dense1.weight'] for name in (
        'source/seed-0/round-02/trained', 'source-to-digits-signs-round-02/seed-0/round-00/ticket'))
    assert ticket.sign().equal(trained.sign()) and not ticket.equal(trained)


def test_trained_signs_of_a_gem_cannot_be_transferred(lth):
    lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '90', '--algorithm', 'random', '--run', 'g')
    result = lth('transfer', 'g', '--to', 'digits', '--carry', 'signs')
    assert result.code == 2 and 'Carry start-signs' in ' '.join(result.err.split())


@pytest.mark.parametrize(('carry', 'words'), [
    ('weights', 'the weights from which tickets start'), ('signs', 'the signs of trained weights, on new magnitudes'),
    ('start-signs', 'the signs of the weights from which tickets start'), ('mask', 'masks alone, on new weights')])
def test_the_table_says_what_was_transferred(lth, carry, words):
    printed_json(lth, *SEARCH)
    printed = lth('transfer', 'source', '--to', 'digits', '-e', '1', '--rounds', '2', '--carry', carry, '--run', 'new')
    assert words in ' '.join(printed.out.split()) and words in ' '.join(lth('show', 'run', 'new').out.split())
    assert 'Transferred' not in lth('show', 'run', 'source').out
    assert lth('report', 'new', '-o', 'new.html').code == 0
    assert words in Path('new.html').read_text()
