"""What commands say after their tables: about gems, finetuning and searches, in words and as JSON."""
import json

import pytest

PAIR = ('lenet-300-100', 'digits')
GEM = ('find-gem', *PAIR, '--sparsity', '50', '-e', '2', '--set', 'algorithm.freeze_every=1 epochs',
       '--set', 'algorithm.finetune.length=2 epochs')


def json_answers(lth, *arguments):
    result = lth(*arguments, '--json')
    assert result.code == 0, result.err
    return json.loads(result.out)['answers']


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
