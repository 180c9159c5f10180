"""Option `--recipe`: complete and partial recipe files, and presets."""

import pytest
import yaml

from tests.printed_json import printed_json


def dry(lth, *arguments: str) -> dict:
    return printed_json(lth, 'find-ticket', *arguments, '--dry-run')['recipe']


def test_settings_missing_in_a_recipe_file_come_from_the_default_recipe(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text('training: {length: 5 epochs, optimizer: {learning_rate: 0.01}}\n')
    default, changed = dry(lth, 'resnet20', 'cifar10'), dry(lth, 'resnet20', 'cifar10', '--recipe', 'mine.yaml')
    assert changed.pop('source') == f'mine.yaml over {default.pop("source")}'
    default['training']['length'] = '5 epochs'
    default['training']['optimizer']['learning_rate'] = 0.01
    assert changed == default


def test_a_section_with_another_name_in_a_recipe_file_replaces_the_whole_section(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text('training: {optimizer: {name: adam, learning_rate: 0.01}}\n')
    optimizer = dry(lth, 'resnet20', 'cifar10', '--recipe', 'mine.yaml')['training']['optimizer']
    assert optimizer == {
        'name': 'adam', 'learning_rate': 0.01, 'betas': [0.9, 0.999], 'epsilon': 1e-8, 'weight_decay': 0.}


def test_the_source_given_in_a_recipe_file_is_kept(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text('source: my thesis\nalgorithm: {rounds: 3}\n')
    assert dry(lth, 'lenet-300-100', 'mnist', '--recipe', 'mine.yaml')['source'] == 'my thesis'


def test_a_recipe_file_with_a_base_takes_missing_settings_from_the_base(lth, tmp_path):
    (tmp_path / 'mine.yaml').write_text('base: default\ntraining: {length: 5 epochs}\n')
    recipe = dry(lth, 'resnet20', 'cifar10', '--recipe', 'mine.yaml')
    assert (recipe['data']['crop'], recipe['algorithm']['keep_out']) == (0, [])
    assert recipe['training']['length'] == '5 epochs'


def test_a_preset_given_by_name_does_not_take_settings_from_the_default_recipe(lth):
    recipe = dry(lth, 'resnet20', 'cifar10', '--recipe', 'default')
    assert (recipe['data']['crop'], recipe['data']['flip']) == (0, False)


@pytest.mark.parametrize('has_gap', [True, False])
def test_a_note_names_the_default_recipe_only_if_the_file_misses_settings(lth, tmp_path, has_gap):
    recipe = dry(lth, 'conv-2', 'mnist')
    if has_gap:
        del recipe['training']['batch_size']
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(recipe))
    result = lth('find-ticket', 'conv-2', 'mnist', '--recipe', 'mine.yaml', '--dry-run')
    assert ('using conv-2.yaml' in result.err) == has_gap


@pytest.mark.parametrize(('text', 'message'), [
    ('training: {epoch: 5}', "mine.yaml: training: unknown key 'epoch', did you mean 'length'?"),
    ('lr: 0.1', "mine.yaml: unknown key 'lr', did you mean training.optimizer.learning_rate?"),
    ('model: {name: vgg19}', "mine.yaml: model: this recipe is for 'vgg19', not for 'resnet20'"),
    ('data: 3', 'mine.yaml: data: expected settings with a name'),
    ('training:', 'mine.yaml: training: expected settings, lines of the form `key: value`; it is None.'),
    ('training: {optimizer: {name: sgd}, optimizer: {}}', "the key 'optimizer' is given twice"),
    ('base: resnet2', "mine.yaml: base: unknown recipe 'resnet2'")])
def test_an_error_in_a_partial_recipe_file_names_the_file_and_the_key(lth, tmp_path, text, message):
    (tmp_path / 'mine.yaml').write_text(text)
    result = lth('find-ticket', 'resnet20', 'cifar10', '--recipe', 'mine.yaml', '--dry-run')
    assert (result.code, result.out) == (2, '')
    assert message in result.err
