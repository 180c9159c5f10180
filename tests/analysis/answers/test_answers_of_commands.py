"""What commands say after their tables: about gems, finetuning and searches, in words and as JSON."""
import json
from pathlib import Path

import pytest

from tests.printed_json import printed_json

PAIR = ('lenet-300-100', 'digits')
GEM = ('find-gem', *PAIR, '--sparsity', '50', '-e', '2', '--set', 'algorithm.freeze_every=1 epochs',
       '--set', 'algorithm.finetune.length=2 epochs')


def json_answers(lth, *arguments):
    return printed_json(lth, *arguments)['answers']


def test_a_search_names_matching_rounds_controls_and_the_next_commands_and_show_and_evaluate_repeat_it(lth):
    search = ('find-ticket', *PAIR, '-i', '2', '-e', '1', '--run', 'a', '--seeds', '0-1', '--controls', 'reinit')
    (answer,) = json_answers(lth, *search, '--margin', '90')
    assert answer['tickets']['margin_points'] == 90 and answer['tickets']['accuracy_at'] == 'early stop'
    assert [level['verdict'] for level in answer['tickets']['levels']] == ['matching', 'matching']
    assert answer['tickets']['sparsest_matching_round'] == 2
    assert [control['control'] for control in answer['tickets']['controls']] == ['reinit']
    assert answer['next_commands'] == ['lth sanity-check runs/a --round 2', 'lth report runs/a']
    assert json_answers(lth, 'show', 'run', 'a', '--margin', '90') == [answer]
    assert json_answers(lth, 'evaluate', 'a', '--margin', '90') == [answer]
    assert not json_answers(lth, 'evaluate', 'runs/a/seed-0/round-01')
    shown = lth('show', 'run', 'a', '--margin', '90').out
    assert all(sentence in shown.replace('\n', ' ') for sentence in answer['sentences'])
    assert 'Next:\n  lth sanity-check runs/a --round 2\n  lth report runs/a\n' in shown


def test_an_undecided_search_names_its_own_command_with_more_seeds(lth):
    (answer,) = json_answers(lth, 'find-ticket', *PAIR, '--seeds=3', '-i', '1', '-e', '1', '--run', 'a')
    assert answer['tickets']['levels'][0]['verdict'] == 'undecided'
    assert answer['tickets']['levels'][0]['to_dense']['lower_points'] is None
    assert answer['next_commands'][-2:] == ['lth sanity-check runs/a --round 1', 'lth report runs/a']


@pytest.mark.slow
def test_a_gem_is_compared_with_chance_and_finetuning_with_the_dense_network_of_the_sanity_checks(lth):
    gem, finetuned = json_answers(lth, *GEM, '--finetune', '--run', 'gem', '--seeds', '0-1')
    assert gem['gem']['chance_percent'] == 10 and gem['gem']['accuracy_percent']['n'] == 2
    assert gem['finetuning'] is None and gem['tickets'] is None
    gain = finetuned['finetuning']
    assert gain['after_percent']['mean'] - gain['before_percent']['mean'] == pytest.approx(gain['gain_points']['mean'])
    assert gain['dense'] is None and 'lth sanity-check runs/gem --round 1' in finetuned['sentences'][1]
    assert lth('sanity-check', 'gem', '--checks', 'reinit').code == 0
    _, finetuned = json_answers(lth, 'show', 'run', 'gem')
    dense = finetuned['finetuning']['dense']
    assert dense['run'] == 'runs/gem-checks-round-01/dense' and dense['to_dense']['difference_points']['n'] == 2


def test_a_finetuned_ticket_is_compared_with_the_dense_round_of_its_source_if_it_was_trained_alike(lth):
    assert lth('find-ticket', *PAIR, '-i', '1', '-e', '1', '--run', 'a').code == 0
    (answer,) = json_answers(lth, 'finetune', 'a')
    assert answer['finetuning']['dense']['run'] == 'runs/a'
    (longer,) = json_answers(lth, 'finetune', 'a', '-e', '2', '--run', 'longer')
    assert longer['finetuning']['dense'] is None


@pytest.mark.parametrize(('value', 'message'), [
    ('-1', '-1 is not between 0 and 100'), ('101', '101 is not between 0 and 100'), ('x', "'x' is not")])
def test_a_margin_outside_its_limits_is_refused(lth, value, message):
    result = lth('find-ticket', *PAIR, '--margin', value)
    assert result.code == 2 and '--margin' in result.err and message in result.err


def test_recipes_have_no_margin(lth):
    result = lth('show', 'recipe', 'lenet-300-100-digits', '--margin', '1')
    assert result.code == 2 and '--margin' in result.err


def test_sculpt_says_what_the_pruning_and_one_more_cycle_change(lth):
    lth('find-ticket', *PAIR, '-i', '1', '-e', '1', '--run', 'a', '--seeds', '0-1')
    (answer,) = json_answers(lth, 'finetune', 'a', '--cycles', '2', '--then-prune', '0.3')
    found = answer['sculpting']
    before, after = (row['test_accuracy_percent']['mean'] for row in json.loads(
        lth('show', 'run', 'a-sculpted-to-30-2-cycles-round-01', '--json').out)['rounds'])
    assert found['accuracy_percent']['mean'] == before and found['pruned_accuracy_percent']['mean'] == after
    assert found['change_points']['mean'] == pytest.approx(after - before)
    assert (round(found['density_percent'], 1), found['pruned_density_percent']) == (80.2, 30.0)
    assert 'After one pruning and one more cycle, with 30.00%' in answer['sentences'][0]
    assert answer['finetuning'] is None


def test_suggested_commands_trust_the_code_that_the_run_needs(lth):
    Path('own.py').write_text(
        'from torch import nn\n\n\ndef net(shape, classes):\n'
        '    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))\n', encoding='utf-8')
    (answer,) = json_answers(lth, 'find-ticket', 'own.py:net', 'digits', '-i', '1', '-e', '1', '--run', 'a')
    assert 'lth sanity-check runs/a --round 1 --trust-code' in answer['next_commands']
    (answer,) = json_answers(lth, 'finetune', 'a', '-e', '2', '--trust-code')
    assert 'lth sanity-check runs/a --round 1 --trust-code trains one' in answer['sentences'][1]
