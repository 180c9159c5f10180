"""Validation, merging and comparison of recipes."""
import pytest

from lth.algorithms import ALGORITHMS
from lth.errors import LthError
from lth.models.registry import settings_class
from lth.recipes.schema import DataSettings, differences, merge, validate_recipe
from lth.system.yaml_text import Raw


def raw(**over: object) -> Raw:
    optimizer = {'name': 'adam', 'learning_rate': 0.001}
    base = {'model': {'name': 'lenet-300-100'}, 'data': {'name': 'mnist'},
            'algorithm': {'name': 'magnitude', 'rates': 0.2},
            'training': {'length': '5 epochs', 'batch_size': 60, 'optimizer': optimizer}}
    return merge(base, over)


def validated(recipe: Raw):
    model = settings_class(recipe['model']['name'])
    return validate_recipe(recipe, 'lenet.yaml', model=model, algorithm=ALGORITHMS.find('magnitude').settings)


def error(**over: object) -> str:
    with pytest.raises(LthError) as caught:
        validated(raw(**over))
    return str(caught.value)


def test_a_dumped_recipe_is_complete_and_valid():
    recipe = validated(raw())
    assert recipe.dump()['training']['optimizer'] == {
        'name': 'adam', 'learning_rate': 0.001, 'betas': [0.9, 0.999], 'epsilon': 1e-8, 'weight_decay': 0.}
    assert validated(recipe.dump()).dump() == recipe.dump()


def test_the_error_for_an_unknown_key_names_a_similar_one():
    assert "lenet.yaml: training.optimizer: unknown key 'learning_rat', did you mean 'learning_rate'?" in error(
        training={'optimizer': {'learning_rat': 1.}})


def test_the_error_for_a_key_of_another_tool_names_the_key_of_lth():
    assert error(training={'epoch': 5}) == "lenet.yaml: training: unknown key 'epoch', did you mean 'length'?"


def test_a_setting_of_another_optimizer_is_an_unknown_key():
    assert "unknown key 'momentum'" in error(training={'optimizer': {'momentum': 0.9}})


def test_the_options_of_a_model_are_validated():
    assert "model: unknown key 'shortcut'" in error(model={'shortcut': 'identity'})
    assert "shortcut: it should be 'projection' or 'identity'; it is 'diagonal'" in error(
        model={'name': 'resnet20', 'shortcut': 'diagonal'})


@pytest.mark.parametrize('rate', [0, 1, 1.5, -0.2])
def test_a_pruning_rate_outside_0_and_1_is_an_error(rate):
    assert f'it is {rate}' in error(algorithm={'rates': {'convolution': 0.1, 'dense': rate, 'output': 0.1}})


@pytest.mark.parametrize(('key', 'value', 'message'), [
    ('batch_size', 'many', "batch_size: it should be a whole number; it is 'many'."),
    ('batch_size', 0, 'greater than or equal to 1; it is 0'),
    ('length', '0 epochs', 'length: it should be at least 1'),
    ('length', 50, "such as '50 epochs'"),
    ('precision', 'fp8', "it is 'fp8'")])
def test_the_error_for_a_wrong_value_says_what_is_expected_and_given(key, value, message):
    assert message in error(training={key: value})


def test_a_missing_key_is_an_error_with_its_section():
    recipe = raw()
    del recipe['training']['length']
    with pytest.raises(LthError, match="lenet.yaml: training: the key 'length' is missing"):
        validated(recipe)


def test_all_errors_of_a_recipe_are_reported_together():
    assert error(training={'batch_size': 0, 'precision': 'x'}).count('\n') == 1


def test_global_pruning_needs_a_single_rate():
    rates = {'convolution': 0.1, 'dense': 0.2, 'output': 0.1}
    assert 'give one number as rates' in error(algorithm={'scope': 'global', 'rates': rates})


def test_nesterov_needs_momentum():
    optimizer = {'name': 'sgd', 'learning_rate': 0.1, 'nesterov': True}
    assert 'nesterov needs a momentum' in error(training={'optimizer': optimizer})


def test_merging_replaces_a_section_with_another_name():
    assert merge({'o': {'name': 'adam', 'betas': 1}}, {'o': {'name': 'sgd'}}) == {'o': {'name': 'sgd'}}
    assert merge({'o': {'name': 'adam', 'betas': 1}}, {'o': {'x': 2}}) == {'o': {'name': 'adam', 'betas': 1, 'x': 2}}


def test_differences_of_recipes_have_both_values():
    assert differences({'a': {'b': 1, 'c': 2}, 'd': 3}, {'a': {'b': 1, 'c': 4}}) == ['a.c: 2 / 4', 'd: 3 / None']


@pytest.mark.parametrize(('setting', 'message'), [
    ({'lr': 0.1}, "unknown key 'lr', did you mean training.optimizer.learning_rate?"),
    ({'learning_rate': 0.1}, "unknown key 'learning_rate', did you mean training.optimizer.learning_rate?"),
    ({'epochs': 5}, "unknown key 'epochs', did you mean training.length?"),
    ({'optimizer': {}}, "unknown key 'optimizer', did you mean training.optimizer?"),
    ({'training': {'lr': 0.1}}, "training: unknown key 'lr', did you mean training.optimizer.learning_rate?"),
    ({'training': {'rounds': 3}}, "training: unknown key 'rounds', did you mean algorithm.rounds?"),
    ({'momentum': 0.9}, "unknown key 'momentum' (known: algorithm, data, model, source, training)")])
def test_the_error_for_a_setting_in_the_wrong_section_names_the_right_one(setting, message):
    assert error(**setting) == f'lenet.yaml: {message}'


NOT_AUGMENTATIONS = {'name', 'validation', 'share', 'labels', 'size', 'channels', 'storage', 'undecodable',
                     'normalization', 'resolution'}
AUGMENTATIONS = {'crop': 4, 'resized_crop': 0.5, 'flip': True}


@pytest.mark.parametrize('field', sorted(DataSettings.model_fields.keys() - NOT_AUGMENTATIONS))
def test_every_data_setting_is_an_augmentation_or_listed_as_another_setting(field):
    settings = DataSettings.model_validate({'name': 'x', field: AUGMENTATIONS[field]})
    assert settings.augments and settings.moves


def test_a_resolution_moves_pixels_but_does_not_augment():
    plain, cut = DataSettings(name='x'), DataSettings(name='x', resolution=8)
    assert (plain.augments, plain.moves, cut.augments, cut.moves) == (False, False, False, True)


@pytest.mark.parametrize(('training', 'message'), [
    ({'schedule': 'cosine'}, "schedule: expected settings with a name: write training.schedule.name=cosine"),
    ({'optimizer': None}, 'optimizer: expected settings with a name: write training.optimizer.name=NAME; it is None.'),
    ({'optimizer': {'betas': 0.9}}, 'training.optimizer: betas: it should be a list, such as [a, b]; it is 0.9.'),
    ({'length': '9999999999 epochs'}, 'length: it should be at most 999,999,999 epochs or iterations'),
    ({'schedule': {'name': 'multistep', 'milestones': ['1 epoch'] * 101}}, 'milestones: it should have at most 100')])
def test_a_wrong_setting_is_explained_without_words_of_pydantic(training, message):
    text, foreign = error(training=training), ('dictionary', 'tuple', 'tag', 'valid', 'discriminator')
    assert message in text and not any(word in text for word in foreign)


@pytest.mark.parametrize(('value', 'message'), [
    ('on', "algorithm: early_bird: it should be 'off' or 'levels' or a list, such as [a, b]; it is 'on'."),
    ([0.5, 2.], 'algorithm.early_bird: 1: it should be less than 1; it is 2.0.')])
def test_a_setting_of_several_types_is_explained_in_one_sentence(value, message):
    text = error(algorithm={'early_bird': value})
    assert message in text and text.count('it should be') == 1 and '\n' not in text
