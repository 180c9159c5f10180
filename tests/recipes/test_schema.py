"""Recipes are strict, complete and comparable."""
import pytest

from lth.algorithms import ALGORITHMS
from lth.errors import LthError
from lth.models.registry import settings_class
from lth.recipes.schema import DataSettings, differences, merge, validate_recipe
from lth.system.files import Raw


def raw(**over: object) -> Raw:
    optimizer = {'name': 'adam', 'learning_rate': 0.001}
    base = {'model': {'name': 'lenet-300-100'}, 'data': {'name': 'mnist'},
            'algorithm': {'name': 'magnitude', 'rates': 0.2},
            'training': {'length': '5 epochs', 'batch_size': 60, 'optimizer': optimizer}}
    return merge(base, over)


def check(recipe: Raw):
    model = settings_class(recipe['model']['name'])
    return validate_recipe(recipe, 'lenet.yaml', model=model, algorithm=ALGORITHMS.find('magnitude').settings)


def error(**over: object) -> str:
    with pytest.raises(LthError) as caught:
        check(raw(**over))
    return str(caught.value)


def test_a_dump_is_complete_and_reads_back_as_the_same():
    recipe = check(raw())
    assert recipe.dump()['training']['optimizer'] == {
        'name': 'adam', 'learning_rate': 0.001, 'betas': [0.9, 0.999], 'epsilon': 1e-8, 'weight_decay': 0.}
    assert check(recipe.dump()).dump() == recipe.dump()


def test_an_unknown_key_names_the_nearest():
    assert "lenet.yaml: training.optimizer: unknown key 'learning_rat', did you mean 'learning_rate'?" in error(
        training={'optimizer': {'learning_rat': 1.}})


def test_a_key_from_another_tool_names_ours():
    assert error(training={'epoch': 5}) == "lenet.yaml: training: unknown key 'epoch', did you mean 'length'?"


def test_a_setting_of_the_other_optimizer_is_unknown():
    assert "unknown key 'momentum'" in error(training={'optimizer': {'momentum': 0.9}})


def test_a_model_option_is_checked():
    assert "model: unknown key 'shortcut'" in error(model={'shortcut': 'identity'})
    assert "shortcut: it should be 'projection' or 'identity'; it is 'diagonal'" in error(
        model={'name': 'resnet20', 'shortcut': 'diagonal'})


@pytest.mark.parametrize('rate', [0, 1, 1.5, -0.2])
def test_a_rate_outside_zero_and_one_is_refused(rate):
    assert f'it is {rate}' in error(algorithm={'rates': {'convolution': 0.1, 'dense': rate, 'output': 0.1}})


@pytest.mark.parametrize(('where', 'value', 'says'), [
    ('batch_size', 'many', "batch_size: it should be a valid integer; it is 'many'."),
    ('batch_size', 0, 'greater than or equal to 1; it is 0'),
    ('length', '0 epochs', 'wants at least 1'),
    ('length', 50, "such as '50 epochs'"),
    ('precision', 'fp8', "it is 'fp8'")])
def test_a_wrong_type_or_range_says_what_is_wanted_and_what_is_there(where, value, says):
    assert says in error(training={where: value})


def test_a_missing_key_is_named():
    recipe = raw()
    del recipe['training']['length']
    with pytest.raises(LthError, match="lenet.yaml: training: the key 'length' is missing"):
        check(recipe)


def test_every_mistake_is_told_at_once():
    assert error(training={'batch_size': 0, 'precision': 'x'}).count('\n') == 1


def test_global_pruning_wants_one_rate():
    rates = {'convolution': 0.1, 'dense': 0.2, 'output': 0.1}
    assert 'give one number as rates' in error(algorithm={'scope': 'global', 'rates': rates})


def test_nesterov_wants_momentum():
    optimizer = {'name': 'sgd', 'learning_rate': 0.1, 'nesterov': True}
    assert 'nesterov needs a momentum' in error(training={'optimizer': optimizer})


def test_a_section_whose_name_changes_starts_afresh():
    assert merge({'o': {'name': 'adam', 'betas': 1}}, {'o': {'name': 'sgd'}}) == {'o': {'name': 'sgd'}}
    assert merge({'o': {'name': 'adam', 'betas': 1}}, {'o': {'x': 2}}) == {'o': {'name': 'adam', 'betas': 1, 'x': 2}}


def test_differences_name_each_setting_with_both_values():
    assert differences({'a': {'b': 1, 'c': 2}, 'd': 3}, {'a': {'b': 1, 'c': 4}}) == ['a.c: 2 / 4', 'd: 3 / None']


@pytest.mark.parametrize(('setting', 'says'), [
    ({'lr': 0.1}, "unknown key 'lr', did you mean training.optimizer.learning_rate?"),
    ({'learning_rate': 0.1}, "unknown key 'learning_rate', did you mean training.optimizer.learning_rate?"),
    ({'epochs': 5}, "unknown key 'epochs', did you mean training.length?"),
    ({'optimizer': {}}, "unknown key 'optimizer', did you mean training.optimizer?"),
    ({'training': {'lr': 0.1}}, "training: unknown key 'lr', did you mean training.optimizer.learning_rate?"),
    ({'training': {'rounds': 3}}, "training: unknown key 'rounds', did you mean algorithm.rounds?"),
    ({'momentum': 0.9}, "unknown key 'momentum' (known: algorithm, data, model, source, training)")])
def test_a_setting_in_the_wrong_place_names_the_right_one(setting, says):
    assert error(**setting) == f'lenet.yaml: {says}'


NOT_AUGMENTATIONS = {'name', 'validation', 'share', 'labels', 'size', 'channels', 'storage', 'undecodable',
                     'normalization', 'resolution'}
AUGMENTATIONS = {'crop': 4, 'resized_crop': 0.5, 'flip': True}


@pytest.mark.parametrize('field', sorted(DataSettings.model_fields.keys() - NOT_AUGMENTATIONS))
def test_every_data_setting_is_an_augmentation_or_listed_as_none(field):
    settings = DataSettings.model_validate({'name': 'x', field: AUGMENTATIONS[field]})
    assert settings.augments and settings.moves


def test_a_resolution_moves_pixels_but_does_not_augment():
    plain, cut = DataSettings(name='x'), DataSettings(name='x', resolution=8)
    assert (plain.augments, plain.moves, cut.augments, cut.moves) == (False, False, False, True)
