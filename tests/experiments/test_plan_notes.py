"""Notes of a plan: what the user should know before it is run."""
import pytest

DRY = ('find-ticket', 'lenet-300-100', 'digits', '-e', '2', '--dry-run')
MULTISTEP = '{name: multistep, milestones: [2 epochs], factor: 0.1}'


def notes(lth, *options: str) -> str:
    result = lth(*DRY, *options)
    assert result.code == 0, result.err
    return ' '.join((result.out + result.err).split())


@pytest.mark.parametrize(('changes', 'says'), [
    ([], 'the milestone at 2 epochs is after the end of training, 2 epochs (iteration 42)'),
    (['training.cycles=2'], 'the milestone at 2 epochs is after the end of each cycle, 2 epochs (iteration 42)'),
    (['training.cycles=2', 'training.cycle_budget=total'],
     'the milestone at 2 epochs is after the end of training, 2 epochs (iteration 42)')],
    ids=['one training', 'cycles of this length', 'cycles that share the length'])
def test_a_milestone_that_is_never_reached_is_compared_with_the_end_of_training_or_of_each_cycle(lth, changes, says):
    options = [option for change in changes for option in ('--set', change)]
    assert says in notes(lth, '--set', f'training.schedule={MULTISTEP}', *options)


def test_a_warm_up_that_is_longer_than_a_cycle_is_in_a_note(lth):
    printed = notes(lth, '--set', 'training.warmup=3 epochs', '--set', 'training.cycles=2')
    assert 'the warm-up at 3 epochs is after the end of each cycle, 2 epochs' in printed
