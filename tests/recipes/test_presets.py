"""The recipes that come with lth say what the papers say, and every model finds one."""
import functools

import pytest

from lth.algorithms import ALGORITHMS
from lth.errors import LthError
from lth.experiments.plan import Plan, make_plan
from lth.models.registry import MODELS
from lth.recipes import presets
from lth.recipes.schema import merge

EXAMPLES = {'resnet': 'resnet32', 'vgg': 'vgg11', 'wide-resnet': 'wide-resnet28-2', 'densenet': 'densenet',
            None: 'lenet-5'}


@functools.cache
def plan(name: str) -> Plan:
    """The plan of a recipe, with a model and a data set that a fallback would serve."""

    names = {'model': {'name': EXAMPLES[presets.preset(name).family]}, 'data': {'name': 'fashion-mnist'}}
    return make_plan(merge(names, presets.find(name).settings), name)


def gem_recipe_for(algorithm: str) -> presets.RawRecipe:
    pair = presets.gem_recipe('vgg16', 'cifar10', 0.014)
    return presets.gem_recipe_for(algorithm, ALGORITHMS.find(algorithm).settings, pair)


@pytest.mark.parametrize('name', presets.names())
def test_every_recipe_can_be_planned_as_it_is_and_names_its_source(name):
    unpruned = [note for note in plan(name).notes if note.startswith('not pruned: token, positions (')]
    assert list(plan(name).notes) == unpruned and bool(unpruned) == name.startswith('vit-tiny')
    assert plan(name).recipe.source


@pytest.mark.parametrize('name', presets.names())
def test_the_file_name_of_a_preset_agrees_with_what_its_settings_are_for(name):
    preset = presets.preset(name)
    pair = f'{preset.model}-{preset.dataset}'
    match preset.role:
        case 'default':
            assert name == pair
        case 'variant':
            assert name.startswith(f'{pair}-')
        case 'fallback':
            assert name == '-'.join(filter(None, [preset.model or preset.family or 'default', preset.dataset]))
        case 'gem':
            algorithm = {'gem-miner': 'gem', 'snip': 'gem-at-init'}.get(preset.algorithm, f'gem-{preset.algorithm}')
            assert name == (f'gem-{pair}-{100 * preset.density:g}' if preset.model else algorithm)


def test_a_preset_for_a_model_without_a_data_set_of_its_own_covers_any_data_set():
    assert presets.preset('conv-2').covers('conv-2', 'svhn')
    assert not presets.preset('conv-2').covers('conv-4', 'svhn')
    assert presets.preset('vgg-cifar10').covers('vgg13', 'cifar10')
    assert not presets.preset('vgg-cifar10').covers('vgg13', 'svhn')
    assert not presets.preset('vgg-cifar10').covers('resnet20', 'cifar10')


# Percent of weights left after so many prunings, and iterations of a training where ours are exactly the paper's.
PRINTED = [
    ('lenet-300-100-mnist', {1: 80.04, 10: 10.83, 20: 1.19}, None),
    ('conv-2-cifar10', {11: 8.81, 14: 4.57}, None), ('conv-2-cifar10-dropout', {11: 8.81, 14: 4.57}, None),
    ('conv-4-cifar10', {11: 11.06, 12: 9.18}, None), ('conv-4-cifar10-dropout', {11: 11.06, 12: 9.18}, None),
    ('conv-6-cifar10', {7: 26.61, 12: 10.62}, None), ('conv-6-cifar10-dropout', {7: 26.61, 12: 10.62}, None),
    ('resnet20-cifar10', {4: 41.66, 6: 27.09, 10: 11.79}, 30_000),
    ('resnet20-cifar10-low', {4: 41.66, 10: 11.79}, 30_000), ('resnet20-cifar10-warmup', {6: 27.09}, 30_000),
    ('vgg19-cifar10', {12: 6.90, 15: 3.54, 19: 1.47}, 112_480), ('vgg19-cifar10-low', {15: 3.54}, 112_480),
    ('vgg19-cifar10-warmup', {19: 1.47}, 112_480), ('vgg19-cifar10-morcos', {19: 1.47}, 112_480),
    # Renda et al. prune every layer: 1 / 0.8^7 = 4.77 and 1 / 0.8^10 = 9.31 are compressions that they print.
    ('resnet20-cifar10-renda', {7: 100 / 4.77, 10: 100 / 9.31}, None),
    ('resnet56-cifar10', {7: 100 / 4.77, 10: 100 / 9.31}, None),
    ('resnet110-cifar10', {7: 100 / 4.77, 10: 100 / 9.31}, None), ('vgg16-cifar10', {10: 100 / 9.31}, None)]


@pytest.mark.parametrize(('name', 'levels', 'iterations'), PRINTED)
def test_the_levels_and_lengths_are_those_that_the_papers_print(name, levels, iterations):
    found = plan(name)
    for number, percent in levels.items():
        assert 100 * found.network.layout.density(found.kept[number]) == pytest.approx(percent, abs=0.02)
    assert iterations in (None, found.steps)


@pytest.mark.parametrize(('name', 'rate', 'epochs'), [
    ('conv-2-cifar10-dropout', 3e-4, 60), ('conv-4-cifar10-dropout', 2e-4, 75), ('conv-6-cifar10-dropout', 2e-4, 90)])
def test_dropout_takes_its_own_learning_rate_and_three_times_as_long(name, rate, epochs):
    recipe = plan(name).recipe.dump()
    assert recipe['model']['dropout'] == 0.5
    assert recipe['training']['optimizer']['learning_rate'] == rate
    assert recipe['training']['length'] == f'{epochs} epochs'
    assert 3 * plan(name.removesuffix('-dropout')).steps == plan(name).steps


@pytest.mark.parametrize(('name', 'decay'), [
    ('resnet20-cifar10-renda', 2e-4), ('resnet56-cifar10', 2e-4), ('resnet110-cifar10', 2e-4), ('vgg16-cifar10', 5e-4)])
def test_the_networks_of_renda_et_al_share_their_schedule_and_rewind_after_12_epochs(name, decay):
    recipe = plan(name).recipe.dump()
    assert (recipe['training']['length'], recipe['training']['batch_size']) == ('182 epochs', 128)
    assert recipe['training']['optimizer'] == {
        'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9, 'nesterov': False, 'weight_decay': decay}
    assert recipe['training']['schedule'] == {
        'name': 'multistep', 'milestones': ['91 epochs', '136 epochs'], 'factor': 0.1}
    assert (recipe['data']['crop'], recipe['data']['flip']) == (4, True)
    assert (recipe['algorithm']['rewind'], recipe['algorithm']['keep_out']) == ('12 epochs', [])


@pytest.mark.parametrize('name', ['vgg19-cifar10-morcos', 'vgg19-fashion-mnist'])
def test_morcos_et_al_reset_to_one_epoch_in(name):
    assert str(plan(name).recipe.dump()['algorithm']['rewind']) == '1 epoch'


@pytest.mark.parametrize(('model', 'dataset', 'origin'), [
    ('conv-4', 'cifar10', 'conv-4-cifar10.yaml'), ('conv-4', 'mnist', 'conv-4.yaml'),
    ('resnet56', 'cifar10', 'resnet56-cifar10.yaml'), ('resnet18', 'cifar10', 'resnet-cifar10.yaml'),
    ('resnet20', 'mnist', 'resnet.yaml'), ('vgg13', 'cifar10', 'vgg-cifar10.yaml'), ('vgg19', 'mnist', 'vgg.yaml'),
    ('wide-resnet28-10', 'cifar10', 'wide-resnet-cifar10.yaml'), ('wide-resnet28-2', 'mnist', 'wide-resnet.yaml'),
    ('mobilenet-v2', 'mnist', 'mobilenet-v2.yaml'), ('torchvision:resnet18', 'cifar10', 'default.yaml'),
    ('resnet18', 'tiny-imagenet', 'resnet-tiny-imagenet.yaml'), ('resnet50', 'imagenet', 'resnet50-imagenet.yaml'),
    ('vgg19', 'imagenet', 'default-imagenet.yaml'), ('torchvision:vit_b_16', 'imagenet', 'default-imagenet.yaml'),
    ('../../etc/passwd:net', 'cifar10', 'default.yaml'), ('my.networks:resnet', 'my.data:all', 'default.yaml')])
def test_a_pair_takes_the_nearest_recipe_and_says_so_if_it_is_not_its_own(model, dataset, origin):
    recipe = presets.default_recipe(model, dataset)
    assert recipe.origin == origin
    assert (recipe.note is None) == (origin == f'{model}-{dataset}.yaml')
    assert not recipe.note or recipe.note.startswith(f'no published recipe for {model} on {dataset}: using {origin}')


@pytest.mark.parametrize(('model', 'dataset', 'origin'), [
    ('vit-tiny', 'cifar10', 'vit-tiny-cifar10'), ('vit-tiny', 'svhn', 'vit-tiny'),
    ('mlp-mixer', 'cifar10', 'mlp-mixer-cifar10'), ('mlp-mixer', 'cifar100', 'mlp-mixer'),
    ('densenet-100-12', 'cifar10', 'densenet-cifar10'), ('densenet', 'svhn', 'densenet')])
def test_recipes_that_nobody_tried_are_called_untested_defaults(model, dataset, origin):
    recipe = presets.default_recipe(model, dataset)
    assert recipe.origin == f'{origin}.yaml'
    assert recipe.note.startswith(f'{origin}.yaml is an untested default: nobody has trained {model} by it')
    assert recipe.settings['source'].startswith('untested default')


@pytest.mark.parametrize('model', MODELS.names())
def test_no_model_of_the_zoo_falls_to_what_suits_unknown_networks(model):
    assert presets.default_recipe(model, 'cifar10').origin != 'default.yaml'


@pytest.mark.parametrize('name', ['resnet', 'vgg', 'wide-resnet', 'mobilenet-v2', 'densenet', 'vit-tiny', 'mlp-mixer'])
def test_pictures_are_mirrored_on_cifar10_but_not_where_they_may_be_digits(name):
    assert not plan(name).recipe.data.flip
    assert plan(f'{name}-cifar10').recipe.data.flip


def test_a_recipe_with_a_base_says_only_what_differs(tmp_path):
    (tmp_path / 'mine.yaml').write_text('base: resnet20-cifar10-low\nalgorithm: {rounds: 3}\n')
    mine = presets.find(str(tmp_path / 'mine.yaml'))
    low = presets.find('resnet20-cifar10-low').settings
    assert mine.origin == 'mine.yaml'
    assert mine.settings == merge(low, {'algorithm': {'rounds': 3}, 'source': f'mine.yaml over {low["source"]}'})


@pytest.mark.parametrize('base', ['resnet20-cifar10-lo', '[1]', 'mine.yaml'])
def test_a_base_that_is_no_recipe_of_lth_is_refused(tmp_path, base):
    (tmp_path / 'mine.yaml').write_text(f'base: {base}\n')
    with pytest.raises(LthError, match='mine.yaml: base: unknown recipe'):
        presets.find(str(tmp_path / 'mine.yaml'))


@pytest.mark.parametrize('algorithm', ['edge-popup', 'hypercube', 'supermask'])
def test_a_gem_recipe_for_another_algorithm_keeps_the_models_finetuning(algorithm):
    mined = presets.gem_recipe('vgg16', 'cifar10', 0.014).settings
    recipe = gem_recipe_for(algorithm).settings
    assert recipe['algorithm']['finetune'] == mined['algorithm']['finetune']
    assert recipe['algorithm'].get('penalty') == (mined['algorithm']['penalty'] if algorithm == 'hypercube' else None)
    assert (recipe['model']['name'], recipe['training']['length']) == ('vgg16', '200 epochs')


def test_a_gem_recipe_for_an_algorithm_at_initialization_trains_a_usual_network():
    recipe = gem_recipe_for('synflow').settings
    assert recipe['model'] == {'name': 'vgg16', 'initializer': 'kaiming-normal'}
    assert recipe['training']['length'] == '160 epochs'
    assert recipe['algorithm'] == {'name': 'synflow'}


@pytest.mark.parametrize(('algorithm', 'origin'), [
    ('fisher', 'gem-at-init.yaml'), ('gates', 'gem-gates.yaml'), ('gem-miner', 'gem.yaml')])
def test_the_note_of_a_pair_without_a_published_gem_names_the_recipe_of_the_algorithm(algorithm, origin):
    pair = presets.gem_recipe('lenet-300-100', 'digits', 0.1)
    recipe = presets.gem_recipe_for(algorithm, ALGORITHMS.find(algorithm).settings, pair)
    assert recipe.origin == origin and recipe.note.endswith(f': using {origin}')


@pytest.mark.parametrize(('percent', 'note'), [
    (1.44, None), (2, 'no published recipe for 2%: using the nearest, for 1.44%')])
def test_the_gem_recipe_with_the_nearest_density_is_used(percent, note):
    recipe = presets.gem_recipe('resnet20', 'cifar10', percent / 100)
    assert (recipe.origin, recipe.note) == ('gem-resnet20-cifar10-1.44.yaml', note)


def test_changing_a_found_recipe_does_not_change_the_preset():
    presets.find('gem').settings['algorithm']['penalty'] = 1.
    assert presets.find('gem').settings['algorithm']['penalty'] == 1e-4
