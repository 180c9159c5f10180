"""`lth show` and `lth list recipes`."""
import json

import pytest
import yaml

from tests.printed_json import printed_json


def complete_recipe(lth, name: str) -> dict:
    return printed_json(lth, 'show', 'recipe', name)['recipe']


def test_show_prints_a_complete_recipe_with_its_source_first(lth, tmp_path):
    result = lth('show', 'recipe', 'conv-2-cifar10-dropout')
    recipe = yaml.safe_load(result.out)
    assert result.out.startswith('source: Frankle & Carbin 2019, section 3 and figure 6, with dropout\n')
    assert recipe['model']['dropout'] == 0.5
    assert recipe['training']['optimizer']['betas'] == [0.9, 0.999]
    assert recipe == complete_recipe(lth, 'conv-2-cifar10-dropout')
    assert not list(tmp_path.iterdir())


def test_show_prints_the_recipe_that_find_ticket_uses(lth):
    dry = json.loads(lth('find-ticket', 'vgg16', 'cifar10', '--dry-run', '--json').out)
    assert complete_recipe(lth, 'vgg16-cifar10') == dry['recipe']


def test_a_shown_variant_can_be_saved_and_used(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text(lth('show', 'recipe', 'resnet20-cifar10-low').out)
    pair = ('find-ticket', 'resnet20', 'cifar10', '--dry-run', '--json', '--recipe')
    assert lth(*pair, 'mine.yaml').out == lth(*pair, 'resnet20-cifar10-low').out
    assert complete_recipe(lth, 'mine.yaml') == complete_recipe(lth, 'resnet20-cifar10-low')


@pytest.mark.parametrize('name', ['default', 'resnet', 'resnet-cifar10', 'conv-2'])
def test_a_shown_fallback_lacks_only_names_and_can_be_used(lth, tmp_path, name):
    text = lth('show', 'recipe', name).out
    recipe = yaml.safe_load(text)
    assert 'precision' not in recipe['training'] and recipe['algorithm']['shots'] == 'iterative'
    assert 'name' not in recipe['data'] or 'model' not in recipe
    assert 'validation' not in recipe['data'], 'the data set decides the size of the validation set'
    (tmp_path / 'mine.yaml').write_text(text)
    model, dataset = recipe.get('model', {'name': 'resnet18'})['name'], recipe['data'].get('name', 'digits')
    given = lth('find-ticket', model, dataset, '--recipe', 'mine.yaml', '--dry-run', '--json')
    assert given.code == 0, given.err
    assert json.loads(given.out)['recipe']['training'].items() >= recipe['training'].items()


def test_a_partial_recipe_file_is_shown_with_the_settings_of_the_default_recipe(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text(
        'model: {name: Conv-2}\ndata: {name: CIFAR-10}\ntraining: {length: 5 epochs}\n')
    default, changed = complete_recipe(lth, 'conv-2-cifar10'), complete_recipe(lth, 'mine.yaml')
    assert changed.pop('source') == f'mine.yaml over {default.pop("source")}'
    default['training']['length'] = '5 epochs'
    assert changed == default


@pytest.mark.parametrize(('name', 'message'), [
    ('resnet20-cifar10-lo', "no recipe file 'resnet20-cifar10-lo', and no recipe of that name, did you mean 'res"),
    ('mine.yaml', 'mine.yaml does not name both a model and a data set'),
    ('other.yaml', "Unknown model 'resnet21', did you mean"),
    ('list.yaml', 'list.yaml contains a list. Write lines of the form `key: value`')])
def test_recipes_that_cannot_be_shown_are_errors(lth, tmp_path, name, message):
    (tmp_path / 'mine.yaml').write_text('training: {length: 5 epochs}\n')
    (tmp_path / 'other.yaml').write_text('model: {name: resnet21}\ndata: {name: cifar10}\n')
    (tmp_path / 'list.yaml').write_text('- 1\n')
    result = lth('show', 'recipe', name)
    assert (result.code, result.out) == (2, '')
    assert message in result.err


def test_list_recipes_shows_the_role_of_each_recipe(lth):
    entries = [line for line in lth('list', 'recipes').out.splitlines() if not line.startswith(' ')]
    lines = {line.split()[0]: ' '.join(line.split()) for line in entries}
    assert lines['conv-2-cifar10'].startswith('conv-2-cifar10 for conv-2 on cifar10 Frankle & Carbin 2019')
    assert lines['resnet20-cifar10-low'].startswith('resnet20-cifar10-low variant Frankle & Carbin 2019')
    assert lines['conv-2'].startswith('conv-2 fallback for conv-2 Frankle')
    assert lines['resnet-cifar10'].startswith('resnet-cifar10 fallback for any resnet on cifar10 Renda')
    assert lines['default'].startswith('default fallback for any model none published')


def test_list_recipes_in_json_has_role_model_and_data_set(lth):
    rows = {row.pop('name'): row for row in json.loads(lth('list', 'recipes', '--json').out)['entries']}
    assert rows['vgg19-cifar10-warmup'] == {
        'role': 'variant', 'model': 'vgg19', 'dataset': 'cifar10',
        'summary': 'Frankle & Carbin 2019, section 4, warm-up over 10,000 iterations'}
    assert [rows[name]['role'] for name in ('lenet-5-mnist', 'lenet-5', 'default')] == [
        'default', 'fallback', 'fallback']
    assert (rows['lenet-5']['model'], rows['lenet-5']['dataset']) == ('lenet-5', None)
