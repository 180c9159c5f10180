"""checks.json and the files of stability: what is read is what was written, or an error with the name of the file."""
import json

import pytest

from lth.analysis import checks_file
from lth.analysis.pair_files import PAIRS, CopyPair, PairErrors
from lth.errors import LthError
from lth.runs.checked_json import encode_checked

INTERVAL = {'mean': 0.75, 'margin': None, 'n': 1}
ORIGINAL = {'accuracy_percent': INTERVAL, 'accuracies_percent': [75.]}
CHECK = {**ORIGINAL, 'check': 'reinit', 'difference_points': INTERVAL, 'p': None, 'verdict': 'fails',
         'changes': [{'kept': 3}], 'sentence': 'fails: …'}
REPORT = {'version': 1, 'run': 'runs/x', 'round': 2, 'kept': 3, 'seeds': [0], 'original': ORIGINAL,
          'dense': {key: value for key, value in CHECK.items() if key != 'verdict'}, 'checks': [CHECK]}
PAIR = CopyPair(seed=1, round=2, iteration=30, pair=0, points=3)
ERRORS = PairErrors([0.25, 0.5, 0.125], 1.5, 45., 0.75)


def test_a_report_of_checks_is_read_as_it_was_written(tmp_path):
    checks_file.write_checks(tmp_path, REPORT)
    report = checks_file.read_checks(tmp_path)
    assert report.checks[0].model_dump() == CHECK and report.dense.verdict is None
    assert report.original.accuracy_percent.n == 1


@pytest.mark.parametrize('path', [[key] for key in REPORT] + [['checks', 0, key] for key in CHECK])
@pytest.mark.parametrize('value', [None, -1, 'x' * 5000, [[[[]]]], {}, 1e300])
def test_wrong_fields_of_checks_are_errors_of_one_paragraph_even_with_their_checksum(tmp_path, path, value):
    report = json.loads(json.dumps(REPORT))
    *parents, key = path
    entry = report
    for parent in parents:
        entry = entry[parent]
    if entry[key] == value or (key in ('p', 'verdict') and value is None):
        return  # a right value
    entry[key] = value
    (tmp_path / 'checks.json').write_bytes(encode_checked(report))
    with pytest.raises(LthError, match='checks.json is damaged') as caught:
        checks_file.read_checks(tmp_path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize('change', [
    lambda text: text.replace('75.0', '76.0'), lambda text: text.replace('"checksum"', '"sum"'),
    lambda text: text[:-3], lambda text: '', lambda text: '[' * 5000, lambda text: '{}', lambda text: 'null'])
def test_checks_that_were_changed_are_refused(tmp_path, change):
    checks_file.write_checks(tmp_path, REPORT)
    path = tmp_path / 'checks.json'
    path.write_text(change(path.read_text()))
    with pytest.raises(LthError, match='checks.json is (damaged|corrupt).*lth sanity-check'):
        checks_file.read_checks(tmp_path)


def test_the_errors_of_a_pair_are_read_as_they_were_written(tmp_path):
    PAIRS.write(tmp_path / 'run', PAIR, ERRORS, 'abc')
    assert PAIRS.read(tmp_path / 'run', PAIR, 'abc') == ERRORS
    with pytest.raises(LthError, match='measured on another ticket'):
        PAIRS.read(tmp_path / 'run', PAIR, 'abd')


@pytest.mark.parametrize('changes', [
    {'errors': [0.1]}, {'errors': [0.1, 2., 0.1]}, {'errors': [0.1] * 4}, {'errors': None}, {'seed': 0}, {'round': -1},
    {'pair': '0'}, {'angle': 181.}, {'distance': None}, {'signs': []}, {'more': 1}, {'ticket': 3}])
def test_wrong_fields_of_a_pair_are_errors_even_with_their_checksum(tmp_path, changes):
    PAIRS.write(tmp_path / 'run', PAIR, ERRORS, 'abc')
    path = PAIRS.path(tmp_path / 'run', PAIR)
    content = json.loads(path.read_text())
    del content['checksum']
    path.write_bytes(encode_checked(content | changes))
    with pytest.raises(LthError, match=f'{path.name} is (damaged|not the file of this measurement)'):
        PAIRS.read(tmp_path / 'run', PAIR, 'abc')


def test_a_pair_file_with_another_number_is_refused(tmp_path):
    PAIRS.write(tmp_path / 'run', PAIR, ERRORS, 'abc')
    path = PAIRS.path(tmp_path / 'run', PAIR)
    path.write_text(path.read_text().replace('0.125', '0.126'))
    with pytest.raises(LthError, match='its checksum is not that of its content. .* measure it again'):
        PAIRS.read(tmp_path / 'run', PAIR, 'abc')
