"""lth early-bird: what a search that compares masks recorded."""
import json

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '6', '--run', 'a')


def test_masks_that_were_compared_are_shown_as_table_json_and_figure(lth):
    assert lth(*SEARCH, '--early-bird').code == 0
    printed = json.loads(lth('early-bird', 'a', '--json').out)
    assert [row['kept'] for row in printed['densities']] == [
        row['kept'] for row in json.loads(lth('show', 'run', 'a', '--json').out)['rounds'][1:]]
    assert printed['iterations'] == 126 and not printed['densities'][0]['published_test_is_void']
    assert printed['densities'][0]['published_iterations'][0] in (84, 105, 126)
    assert 'Early birds in 126 iterations, seed 0\n' in lth('early-bird', 'a/seed-0').out
    assert lth('plot', 'a', '--figure', 'early-bird', '-o', 'a.svg').code == 0


def test_densities_of_a_list_are_compared_and_void_ones_are_named(lth):
    assert lth(*SEARCH, '--set', 'algorithm.early_bird=[0.05, 0.5]').code == 0
    result = lth('early-bird', 'a')
    assert result.out.split().count('void') == 1 and 'void:' in result.out


def test_a_search_without_the_option_is_refused_with_it(lth):
    lth(*SEARCH)
    result = lth('early-bird', 'a')
    assert result.code == 2 and '--early-bird' in result.err
