"""Criteria, actions and retraining on the command line: impossible combinations."""
import pytest

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2')


@pytest.mark.parametrize(('options', 'message'), [
    (('--criterion', 'movment'), "Unknown criterion 'movment', did you mean 'movement'?"),
    (('--mask-1-action', 'reshufle'), "Unknown mask-1 action 'reshufle', did you mean 'reshuffle'"),
    (('--mask-0-action', 'towards-zero'), "Unknown mask-0 action 'towards-zero', did you mean 'toward-zero'"),
    (('--retrain', 'fine-tuning', '--mask-1-action', 'constant'),
     'mask_1_action constant changes rewound weights, but with retrain fine-tuning weights are never rewound: leave '
     'out mask_1_action or retrain.'),
    (('--retrain', 'learning-rate-rewinding', '--mask-0-action', 'toward-zero-all'),
     'with retrain learning-rate-rewinding kept weights continue from their trained values: use mask_0_action '
     'toward-zero, or leave out retrain.'),
    (('--retrain', 'fine-tuning', '--set', 'training.schedule.name=cosine'), 'a cosine schedule ends near 0'),
    (('--retrain', 'strategy-2', '--set', 'algorithm.shots=one-shot'), 'leave out shots or retrain.'),
    (('--set', 'algorithm.rewind=9 epochs'), 'is not before the end of training, 2 epochs (iteration 42)')])
def test_impossible_criteria_actions_and_retraining_are_errors_before_training(lth, tmp_path, options, message):
    result = lth(*SEARCH, *options)
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert len(result.err.splitlines()) == 1 and result.out == ''
    assert not list(tmp_path.iterdir())
