"""The table of all methods: the same number of kept weights and of training steps in every row."""
import json

import pytest
import yaml

from lth.analysis import papers
from lth.analysis.reproduction.reproduce import plan_experiment

LENET = 266_200


def test_every_method_has_a_row_at_each_density():
    tables = papers.find_experiment('budget-table').tables
    assert [table.values for table in tables] == [['0.1', '0.05', '0.01']] and len(tables[0].rows) == 14
    planned = plan_experiment('budget-table', 'smoke').runs
    assert {name for table in tables for name in table.run_names()} <= planned.keys()


@pytest.mark.slow
def test_in_the_smoke_budget_every_method_keeps_the_same_count(lth, tmp_path):
    result = lth('reproduce', 'budget-table', '--budget', 'smoke', '--seeds', '0', '--json')
    assert result.code == 0, result.err
    for table, kept in zip(json.loads(result.out)['tables'], (5020, 2510, 502), strict=True):
        assert not table['missing'] and {row['kept'] for row in table['rows']} == {kept}


@pytest.mark.long
def test_at_ten_percent_every_method_trains_100000_steps_and_keeps_the_same_count(lth, tmp_path, real_data):
    folder = str(real_data('MNIST'))
    raw = yaml.safe_load((papers._FOLDER / 'budget-table.yaml').read_text())  # pylint: disable=protected-access
    for run in raw['runs'].values():
        run['grid'] = {'algorithm.density': [0.1]}
    raw['tables'][0]['values'] = ['0.1']
    raw['claims'], raw['budgets'] = raw['claims'][:3], {'full': {'seeds': 2}}
    (tmp_path / 'one-density.yaml').write_text(yaml.safe_dump(raw))
    result = lth('reproduce', 'one-density.yaml', folder, '--budget', 'full', '--json')
    assert result.code == 0, result.err
    (table,) = json.loads(result.out)['tables']
    assert not table['missing']
    assert {(row['kept'], row['steps']) for row in table['rows']} == {(LENET // 10, 100_000)}
    accuracies = {row['name']: row['accuracy_percent']['mean'] for row in table['rows']}
    assert min(accuracies.values()) > 90 and accuracies['IMP, weight rewinding'] > 97
