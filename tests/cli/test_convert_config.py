"""`lth convert-config`: rare-gems settings converted to a complete recipe, with notes."""
import json
from pathlib import Path

import pytest
import yaml

from tests.recipes.test_rare_gems import SAMPLE


@pytest.fixture
def write_settings(tmp_path: Path):
    """Writes the published sample with other values as gem.yml."""

    def write(**over: object) -> str:
        (tmp_path / 'gem.yml').write_text(yaml.safe_dump(SAMPLE | over, sort_keys=False))
        return 'gem.yml'
    return write


def test_the_published_rare_gems_sample_is_converted_to_the_published_recipe(lth, write_settings, tmp_path):
    result = lth('convert-config', write_settings())
    assert result.code == 0
    converted = yaml.safe_load(result.out)
    published = yaml.safe_load(lth('show', 'recipe', 'gem-resnet20-cifar10-0.59').out)
    assert converted.pop('source') == 'gem.yml (rare-gems settings)' and published.pop('source')
    delays = [recipe['algorithm'].pop('freeze_offset') for recipe in (converted, published)]
    assert delays == ['1 epoch', '0 iterations'] and converted == published
    assert result.out.endswith('# --seeds 42\n')
    assert 'Note: not needed here: ' in result.err
    assert 'Note: not given, so the default of rare-gems is used: ' in result.err
    assert [path.name for path in tmp_path.iterdir()] == ['gem.yml']


def test_a_converted_recipe_can_be_used(lth, write_settings, tmp_path):
    (tmp_path / 'mine.yaml').write_text(lth('convert-config', write_settings(data='/pictures')).out)
    assert '# --seeds 42; images in /pictures' in (tmp_path / 'mine.yaml').read_text()
    command = ('find-gem', 'resnet20', 'cifar10', '--sparsity', '0.59', '--recipe', 'mine.yaml', '--dry-run', '--json')
    result = lth(*command)
    assert result.code == 0, result.err
    assert json.loads(result.out)['rounds'][-1]['kept'] == 1580


def test_json_of_a_conversion_has_recipe_remarks_seeds_and_folder(lth, write_settings):
    conversion = json.loads(lth('convert-config', write_settings(seed=3, data='/pictures'), '--json').out)
    assert conversion['recipe'] == yaml.safe_load(lth('convert-config', 'gem.yml').out)
    assert (conversion['seeds'], conversion['datasets']) == ([3], '/pictures')
    assert conversion['notes'][-1].startswith('not needed here: name, ')


def test_a_converted_recipe_that_cannot_be_run_is_printed_with_the_reason(lth, write_settings):
    result = lth('convert-config', write_settings(algo='imp', iter_period=2, imp_rewind_iter=5000))
    recipe = yaml.safe_load(result.out)
    assert result.code == 0
    assert recipe['algorithm']['rewind'] == '5000 iterations' and 'validation' not in recipe['data']
    assert 'Note: this recipe cannot be run without changes: algorithm.rewind: 5000 iterations' in result.err


@pytest.mark.parametrize(('text', 'message'), [
    ('- algo\n', 'gem.yml contains a list. Write lines of the form `key: value`.'),
    ('a: b: c\n', 'gem.yml: not valid YAML'),
    ('algo: ep\nalgo: hc\n', "the key 'algo' is given twice"),
    ('arch: resnet20\ndataset: CIFAR10\nlrate: 5e-4\nlr: abc\n',
     "gem.yml: lr: 'abc' should be a valid number.")])
def test_settings_that_cannot_be_converted_are_reported_together(lth, tmp_path, text, message):
    (tmp_path / 'gem.yml').write_text(text)
    result = lth('convert-config', 'gem.yml')
    assert (result.code, result.out) == (2, '')
    assert result.err.startswith('Error: ') and message in result.err
    assert [path.name for path in tmp_path.iterdir()] == ['gem.yml']


def test_a_missing_file_of_settings_is_an_error(lth):
    result = lth('convert-config', 'gem.yml')
    assert result.code == 2 and 'Cannot read gem.yml: No such file or directory.' in result.err
