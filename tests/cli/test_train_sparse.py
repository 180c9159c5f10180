"""lth train-sparse: what it prints, and what other commands do with its runs."""
import json

import pytest
import torch
from safetensors.torch import load_file

TRAINING = ('train-sparse', 'lenet-300-100', 'digits', '-e', '2', '--density', '0.1', '--run', 'a')


def test_rounds_of_a_moving_mask_have_no_early_stop_in_tables_and_reports(lth):
    shown = lth(*TRAINING, '--method', 'gmp', '--update-every', '10 iterations').out
    assert 'churn %' in shown and 'early stop' not in shown
    assert lth('report', 'a', '-o', 'a.html').code == 0
    with open('a.html', encoding='utf-8') as page:
        text = page.read()
    assert 'churn %' in text and 'test % at stop' not in text


def test_trained_signs_of_a_sparse_network_are_checked_and_transferred(lth):
    assert lth(*TRAINING).code == 0
    checked = lth('sanity-check', 'a', '--checks', 'signs', '-e', '1')
    assert checked.code == 0 and 'signs' in checked.out
    assert lth('transfer', 'a', '--to', 'digits', '--carry', 'signs', '--rounds', '9', '-e', '1').code == 0
    trained = load_file('runs/a/seed-0/round-09/trained.safetensors')
    carried = load_file('runs/a-to-digits-signs-round-09/seed-0/round-00/ticket.safetensors')
    for name, mask in load_file('runs/a/seed-0/round-09/mask.safetensors').items():
        assert torch.equal(carried[name][mask].sign(), trained[name][mask].sign()), name


def test_a_mask_that_moves_once_is_said_to_move_once_and_one_that_moves_twice_is_counted(lth):
    once = lth(*TRAINING, '--method', 'set', '--update-every', '30 iterations')
    assert once.code == 0 and 'The mask moved once.' in ' '.join(once.out.split())
    twice = lth(*TRAINING[:-1], 'b', '--method', 'set', '--update-every', '15 iterations')
    assert 'The mask moved 2 times.' in ' '.join(twice.out.split())


@pytest.mark.parametrize(('options', 'until'), [
    ((), '50000 iterations'), (('-e', '10'), None), (('-e', '10', '--method', 'set'), None),
    (('-e', '10', '--set', 'algorithm.update_until=2 epochs'), '2 epochs')], ids=str)
def test_with_another_number_of_epochs_the_mask_moves_for_its_usual_share_of_them(lth, options, until):
    result = lth('train-sparse', 'lenet-300-100', 'mnist', '--density', '0.1', '--dry-run', '--json', *options)
    assert json.loads(result.out)['recipe']['algorithm']['update_until'] == until


def test_the_last_update_of_the_users_recipe_is_kept_with_another_number_of_epochs(lth, tmp_path):
    recipe = json.loads(lth(*TRAINING, '--dry-run', '--json').out)['recipe']
    recipe['algorithm']['update_until'] = '3 epochs'
    (tmp_path / 'mine.yaml').write_text(json.dumps(recipe))
    command = ('train-sparse', 'lenet-300-100', 'digits', '--recipe', 'mine.yaml', '--dry-run', '--json', '-e')
    assert json.loads(lth(*command, '4').out)['recipe']['algorithm']['update_until'] == '3 epochs'
    assert '3 epochs is after the end of training, 2 epochs' in ' '.join(lth(*command, '2').err.split())
