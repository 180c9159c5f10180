"""The rows of metrics.jsonl."""
from lth.runs import metrics_file
from lth.training.task import Measurement, Metrics


def test_the_early_stop_is_the_first_row_of_least_validation_loss():
    losses = {0: 2., 5: 0.5, 10: 0.4, 15: 0.4, 20: 0.6}
    rows = [{'iteration': step, 'validation_loss': loss} for step, loss in losses.items()]
    assert metrics_file.early_stop(rows)['iteration'] == 10


def test_rows_are_read_as_the_measurements_of_the_replicate(tmp_path):
    first = Measurement(0, None, Metrics((2.5, 2.25), (0.1, 0.125)), Metrics((2., 2.1), (0.5, 0.25)))
    second = first._replace(iteration=7, train=Metrics((1., 0.5), (0.75, 1.)))
    path = tmp_path / 'metrics.jsonl'
    path.write_bytes(metrics_file.encode([first, second], 1))
    rows = metrics_file.read(path, count=2)
    assert [row['early_stop'] for row in rows] == [True, False]
    alone = Measurement(0, None, Metrics((2.25,), (0.125,)), Metrics((2.1,), (0.25,)))
    assert metrics_file.measurement(rows[0]) == alone
    assert metrics_file.measurement(rows[1]).train == Metrics((0.5,), (1.,))
