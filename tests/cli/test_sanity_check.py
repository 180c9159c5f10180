"""`lth sanity-check`: runs, reports, resuming, and errors."""
import json
import re
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lth.analysis.checks_file import read_checks
from lth.errors import LthError
from lth.experiments import prepared_run, runner
from lth.runs.folder import Run
from tests.printed_json import printed_json
from tests.round_files import header

FIND = ('find-gem', 'lenet-300-100', 'digits', '--sparsity', '10', '-e', '6', '--run', 'gem')
GEM = (*FIND, '--set', 'algorithm.freeze_every=2 epochs')
TICKET = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2', '--set', 'algorithm.rates=0.6',
          '--run', 'ticket')


def error_of(lth, *arguments: str) -> str:
    result = lth(*arguments)
    assert result.code == 2, result.out + result.err
    return ' '.join(result.err.split())


def masks_of(run: str) -> dict:
    return load_file(f'runs/{run}/seed-0/round-00/mask.safetensors')


def test_all_checks_of_a_gem_run_and_report_what_they_changed(lth):
    printed_json(lth, *GEM)
    report = printed_json(lth, 'sanity-check', 'gem', '-e', '2')
    checks = {one['check']: one for one in report['checks']}
    # The initializer of this recipe draws constants with random signs, of which start-signs would change nothing.
    assert set(checks) == {'reinit', 'shuffle-mask', 'permute-mask', 'shuffle-weights', 'smart-ratio', 'erk',
                           'invert-scores', 'random-labels', 'half-data'}
    stored = json.loads(Path('runs/gem-checks-round-02/checks.json').read_text())
    assert stored.pop('checksum') and stored == report
    assert [check.check for check in read_checks(Path('runs/gem-checks-round-02')).checks] == [
        check['check'] for check in report['checks']]
    for name, one in checks.items():
        assert one['verdict'] == 'undecided' and 'n = 1: a single seed has no confidence interval' in one['sentence']
        moved = one['changes'][0]['positions']
        assert (moved == 0) == (name in ('reinit', 'shuffle-weights'))
        assert one['changes'][0]['kept'] == report['kept'] == 5_019
        trained = Path(f'runs/gem-checks-round-02/{name}/seed-0/round-00/trained.safetensors')
        accuracy = header(trained)['test_accuracy']
        assert one['accuracies_percent'] == [pytest.approx(100 * accuracy)]
        assert one['difference_points']['mean'] == pytest.approx(
            report['original']['accuracy_percent']['mean'] - 100 * accuracy)
    assert 'verdict' not in report['dense'], 'the dense network is a reference, not a check'
    assert report['dense']['changes'][0]['kept'] == 50_200 and 'trained in the same way' in report['dense']['sentence']
    original = load_file('runs/gem-checks-round-02/original/seed-0/round-00/ticket.safetensors')
    gem = load_file('runs/gem/seed-0/round-02/ticket.safetensors')
    assert all((original[name] == gem[name]).all() for name in gem)
    recipes = [Path(f'runs/gem-checks-round-02/{name}/recipe.yaml').read_text()
               for name in ('original', 'reinit', 'half-data')]
    # The same training on the same images: only the last section differs.
    assert len({recipe.partition('algorithm:')[0].partition('model:')[2] for recipe in recipes}) == 1


def test_checks_that_search_again_change_only_their_condition_in_the_recipe(lth):
    printed_json(lth, *GEM)
    printed_json(lth, 'sanity-check', 'gem', '-e', '1', '--checks', 'invert-scores,half-data')
    recipes = {name: Path(f'runs/{name}/recipe.yaml').read_text() for name in (
        'gem', 'gem-checks-round-02/invert-scores-search', 'gem-checks-round-02/half-data-search')}
    gem, inverted, half = ({*text.splitlines()} for text in recipes.values())
    assert {line.strip() for line in inverted - gem if 'source' not in line} == {'keep: smallest'}
    assert {line.strip() for line in half - gem if 'source' not in line} >= {
        'share: 0.5', 'length: 60 iterations', 'freeze_every: 20 iterations'}
    last = [len(list(Path(f'runs/{name}/seed-0').iterdir())) for name in recipes]
    assert last == [3, 3, 3]
    gem_mask, opposite = (load_file(f'runs/{name}/seed-0/round-02/mask.safetensors') for name in (
        'gem', 'gem-checks-round-02/invert-scores-search'))
    both = sum(int((gem_mask[name] & opposite[name]).sum()) for name in gem_mask)
    assert both < 0.05 * 5_019


def test_two_seeds_give_an_interval_and_a_verdict(lth, monkeypatch):
    # In one process, which spares the start of eight.
    monkeypatch.setattr(prepared_run.select, 'replicate_groups', lambda *arguments: [tuple(arguments[-1])])
    printed_json(lth, *GEM, '--seeds', '0-1')
    result = lth('sanity-check', 'gem', '-e', '2', '--checks', 'shuffle-mask')
    assert result.code == 0, result.err
    report = json.loads(Path('runs/gem-checks-round-02/checks.json').read_text())
    check = report['checks'][0]
    assert check['difference_points']['n'] == 2 and check['difference_points']['margin'] > 0 and 0 <= check['p'] <= 1
    assert f'shuffle-mask {check["sentence"]}.' in result.out and 'n = 2' in check['sentence']


def test_interrupted_checks_are_resumed_and_completed_ones_are_not_changed(lth, monkeypatch):
    printed_json(lth, *GEM)
    save, saved = Run.save, []

    def save_three(self, one, seeds):
        save(self, one, seeds)
        saved.append(one)
        if len(saved) == 3:
            raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(runner.Run, 'save', save_three)
        assert lth('sanity-check', 'gem', '-e', '2', '--checks', 'reinit,erk').code == 130
    assert sorted(path.name for path in Path('runs/gem-checks-round-02').iterdir()) == ['dense', 'original', 'reinit']
    before = {path: path.read_bytes() for path in Path('runs/gem-checks-round-02').rglob('*.safetensors')}
    report = printed_json(lth, 'sanity-check', 'gem', '-e', '2', '--checks', 'reinit,erk')
    assert [one['check'] for one in report['checks']] == ['reinit', 'erk']
    table = lth('sanity-check', 'gem', '-e', '2', '--checks', 'reinit,erk').out
    assert re.search(r'^ check +test % .*\n.*\n reinit ', table, re.MULTILINE) and 'finetuned' not in table
    assert all(path.read_bytes() == content for path, content in before.items())


def test_checks_of_a_ticket_start_from_its_rewind_point(lth):
    printed_json(lth, *TICKET, '--set', 'algorithm.rewind=10 iterations')
    report = printed_json(lth, 'sanity-check', 'ticket', '--checks', 'shuffle-mask,invert-scores,reinit')
    assert [one['check'] for one in report['checks']] == ['shuffle-mask', 'invert-scores', 'reinit']
    rewound = load_file('runs/ticket/seed-0/round-00/ticket.safetensors')
    shuffled = load_file('runs/ticket-checks-round-02/shuffle-mask/seed-0/round-00/ticket.safetensors')
    mask = masks_of('ticket-checks-round-02/shuffle-mask')
    assert all((shuffled[name][kept] == rewound[name][kept]).all() for name, kept in mask.items())
    original, found = (load_file(f'runs/{run}/trained.safetensors') for run in (
        'ticket-checks-round-02/original/seed-0/round-00', 'ticket/seed-0/round-02'))
    assert all((original[name] == found[name]).all() for name in found)


def test_a_dry_run_prints_every_step_and_writes_no_files(lth):
    printed_json(lth, *GEM)
    steps = printed_json(lth, 'sanity-check', 'gem', '--checks', 'half-data', '--dry-run')['steps']
    assert [step['step'] for step in steps] == ['original', 'dense', 'half-data: searching', 'half-data']
    assert [step['kept'] for step in steps] == [5_019, 50_200, 5_019, 5_019]
    assert not Path('runs/gem-checks-round-02').exists()


def test_runs_and_checks_that_do_not_fit_are_errors(lth):
    assert 'is not a run' in error_of(lth, 'sanity-check', 'nowhere')
    printed_json(lth, *TICKET)
    assert 'is the dense network, which has no mask to check. Choose a later round, such as --round 2' in error_of(
        lth, 'sanity-check', 'ticket/seed-0/round-00')
    assert "unknown check 'shufle-mask', did you mean 'shuffle-mask'" in error_of(
        lth, 'sanity-check', 'ticket', '--checks', 'shufle-mask')
    assert '--seeds: runs/ticket has no seed 1; its seeds are [0]' in error_of(
        lth, 'sanity-check', 'ticket', '--seeds', '0-1')
    printed_json(lth, 'finetune', 'ticket', '-e', '1')
    assert 'trains tickets that another run found. Check that run' in error_of(
        lth, 'sanity-check', 'ticket-finetuned-round-02')
    printed_json(lth, 'find-gem', 'lenet-300-100', 'digits', '--sparsity', '10', '--algorithm', 'random',
                 '--run', 'random')
    assert '--checks random-labels: random does not use the data' in error_of(
        lth, 'sanity-check', 'random', '--checks', 'random-labels')
    assert not list(Path('runs').glob('*-checks*'))


def test_a_note_names_checks_that_do_not_apply(lth):
    printed_json(lth, 'find-gem', 'lenet-300-100', 'digits', '--sparsity', '10', '--algorithm', 'synflow', '-e', '1',
                 '--run', 'synflow')
    result = lth('sanity-check', 'synflow', '--dry-run')
    assert 'random-labels is left out: synflow does not use the data' in result.err
    assert 'invert-scores: searching' in result.out


def test_list_shows_the_checks(lth):
    listed = lth('list', 'checks').out
    assert 'reinit' in listed and 'half-data' in listed and 'original' not in listed


def test_a_check_whose_search_fails_is_left_out_with_a_note(lth, monkeypatch):
    def run_plan(plan, target, *arguments):
        if 'half-data' in str(target.folder):
            raise LthError('searching failed')
        return run(plan, target, *arguments)
    run = runner.run_plan
    printed_json(lth, 'find-gem', 'lenet-300-100', 'digits', '--sparsity', '5', '-e', '6', '--algorithm',
                 'global-edge-popup', '--set', 'algorithm.shrink_every=1 epochs',
                 '--set', 'algorithm.save_every=1 epochs', '--run', 'gem')
    monkeypatch.setattr(runner, 'run_plan', run_plan)
    result = lth('sanity-check', 'gem/seed-0/round-04', '-e', '1', '--checks', 'half-data,reinit')
    assert result.code == 0, result.err
    assert 'half-data: searching failed, so the check half-data is left out' in ' '.join(result.err.split())
    report = json.loads(next(Path('runs').glob('gem-checks*/checks.json')).read_text())
    assert [one['check'] for one in report['checks']] == ['reinit']


def test_a_check_without_training_steps_is_an_error(lth):
    printed_json(lth, *TICKET, '--set', 'algorithm.rewind=1 epochs')
    assert 'Nothing would be trained' in error_of(lth, 'sanity-check', 'ticket', '-e', '1')
    assert not Path('runs/ticket-checks-round-02').exists()


def test_checks_that_counts_or_settings_rule_out_are_left_out_before_training(lth):
    printed_json(lth, 'find-gem', 'lenet-300-100', 'digits', '--sparsity', '0.5', '--algorithm', 'snip',
                 '--run', 'snip')
    note = ' '.join(lth('sanity-check', 'snip', '--dry-run').err.split())
    assert 'smart-ratio is left out: ' in note and 'erk is left out' not in note
    printed_json(lth, *FIND, '--set', 'algorithm.freeze_every=2 epochs', '--set', 'algorithm.final_mask=in-force')
    assert 'invert-scores is left out: the final mask holds the scores above the threshold' in lth(
        'sanity-check', 'gem', '--dry-run').err
    printed_json(lth, 'find-gem', 'lenet-300-100', 'digits', '--sparsity', '10', '--algorithm', 'supermask', '-e', '2',
                 '--set', 'algorithm.rescale=true', '--run', 'mask')
    left = lth('sanity-check', 'mask', '--dry-run').err
    assert all(f'{name} is left out: weights are multiplied by a factor' in ' '.join(left.split()) for name in (
        'reinit', 'shuffle-mask', 'erk'))
    assert 'shuffle-weights' not in left


def test_seeds_can_be_added_to_checks_of_gems_with_different_counts(lth, monkeypatch):
    monkeypatch.setattr(prepared_run.select, 'replicate_groups', lambda *arguments: [tuple(arguments[-1])])
    many = [word if word != '10' else '80' for word in GEM]
    printed_json(lth, *many, '--seeds', '0-1', '--set', 'algorithm.final_mask=in-force')
    counts = {header(path)['kept'] for path in Path('runs/gem').rglob('round-02/mask.safetensors')}
    assert len(counts) == 2  # the numbers above the threshold differ
    printed_json(lth, 'sanity-check', 'gem', '-e', '1', '--seeds', '1', '--checks', 'reinit')
    report = printed_json(lth, 'sanity-check', 'gem', '-e', '1', '--seeds', '0-1', '--checks', 'reinit')
    assert {one['kept'] for one in report['checks'][0]['changes']} == counts
