"""The lines of metrics.jsonl."""
from pathlib import Path

import pytest

from lth.errors import LthError
from lth.runs import metrics_file
from lth.training.state import Measurement, Metrics

PATH = Path('metrics.jsonl')
FIRST = Measurement(0, None, Metrics((2.5, 2.25), (0.1, 0.125)), Metrics((2., 2.1), (0.5, 0.25)))
SECOND = FIRST._replace(iteration=7, train=Metrics((1., 0.5), (0.75, 1.)))


def lines(losses: dict[int, float]) -> list[metrics_file.MetricsLine]:
    history = [FIRST._replace(iteration=step, validation=Metrics((loss,), (0.5,))) for step, loss in losses.items()]
    return metrics_file.lines(history, 0, seed=3, number=2, density=0.25)


def test_the_early_stop_is_the_first_line_of_least_validation_loss():
    losses = {0: 2., 5: 0.5, 10: 0.4, 15: 0.4, 20: 0.6}
    assert metrics_file.early_stop(lines(losses)).iteration == 10


def test_lines_are_read_as_the_measurements_of_the_replicate_with_their_seed_round_and_density():
    content = metrics_file.encode(metrics_file.lines([FIRST, SECOND], 1, seed=3, number=2, density=0.25))
    read = metrics_file.parse(content, PATH, '', count=2)
    assert [line.early_stop for line in read] == [True, False]
    assert {(line.seed, line.round, line.density) for line in read} == {(3, 2, 0.25)}
    assert read[0].measurement() == Measurement(0, None, Metrics((2.25,), (0.125,)), Metrics((2.1,), (0.25,)))
    assert read[1].measurement().train == Metrics((0.5,), (1.,))


@pytest.mark.parametrize(('old', 'new'), [
    ('"iteration": 5', '"iteration": 0'), ('"iteration": 5', '"iteration": -5'), ('"iteration": 5', '"iteration": 5.0'),
    ('"iteration": 5', '"iteration": 1e12'), ('"iteration": 5, ', ''), ('"iteration": 5', '"iteration": null'),
    ('"iteration": 5', '"iteration": 5, "iteration": 5'), ('"iteration": 5', f'"iteration": {"9" * 5000}'),
    ('"validation_loss": 1.0', '"validation_loss": NaN'), ('"validation_loss": 1.0', '"validation_loss": 1e999'),
    ('"validation_loss": 1.0', '"validation_loss": 5.0'), ('"test_accuracy": 0.5', '"test_accuracy": 1.5'),
    ('"early_stop": true', '"early_stop": 1'), ('"early_stop": true', '"early_stop": true, "more": 1'), ('}', '}\n'),
    ('}', ''), ('{', '[' * 5000)])
def test_lines_that_lth_did_not_write_are_refused(old, new):
    content = metrics_file.encode(lines({0: 2., 5: 1., 9: 3.})).decode()
    assert old in content
    with pytest.raises(LthError, match='^metrics.jsonl.*(corrupt|damaged).* ADVICE$') as caught:
        metrics_file.parse(content.replace(old, new).encode(), PATH, 'ADVICE', count=3)
    assert len(str(caught.value)) < 400
