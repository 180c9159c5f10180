"""Conversion of rare-gems files: recipes with the same meaning, and a note or an error for every other key."""
from pathlib import Path
from typing import Any

import pytest

from lth.errors import LthError
from lth.experiments.plan import make_plan
from lth.recipes import presets
from lth.recipes.rare_gems import Conversion, convert, finetuning_milestones
from lth.recipes.rare_gems.keys import CONVERTED, IGNORED, KINDS, NOT_NEEDED, REFUSED
from lth.recipes.schema import differences
from lth.system.yaml_text import Raw, parse_yaml

# As published for ResNet-20 on CIFAR-10.
SAMPLE = {
    'algo': 'hc_iter', 'iter_period': 5, 'arch': 'resnet20', 'dataset': 'CIFAR10', 'name': 'resnet20_quantized_iter_hc',
    'optimizer': 'sgd', 'lr': 0.1, 'lr_policy': 'cosine_lr', 'fine_tune_lr': 0.01,
    'fine_tune_lr_policy': 'multistep_lr', 'epochs': 150, 'wd': 0.0, 'momentum': 0.9, 'batch_size': 128,
    'conv_type': 'SubnetConv', 'bn_type': 'NonAffineBatchNorm', 'freeze_weights': True, 'prune_type': 'BottomK',
    'target_sparsity': 0.59, 'unflag_before_finetune': True, 'init': 'signed_constant', 'score_init': 'unif',
    'scale_fan': False, 'round': 'naive', 'noise': True, 'noise_ratio': 0, 'hc_quantized': True,
    'quantize_threshold': 0.5, 'regularization': 'L2', 'lmbda': 0.0001, 'workers': 4, 'gpu': 0,
    'checkpoint_at_prune': False, 'skip_sanity_checks': False}
NAMES = '''
    algo iter_period arch dataset name subfolder optimizer lr lr_policy lr_gamma gamma milestones fine_tune_optimizer
    fine_tune_lr fine_tune_lr_policy fine_tune_wd epochs wd momentum nesterov batch_size conv_type bn_type bias
    freeze_weights prune_type prune_rate override_prune_rate target_sparsity unflag_before_finetune init score_init
    scale_fan mode nonlinearity first_layer_dense last_layer_dense round noise noise_ratio num_test hc_quantized
    quantize_threshold bottom_k_on_forward project_freq rewind_to_epoch rewind_score regularization lmbda alpha
    alpha_prime label_smoothing width width_mult hidden_size random_subnet smart_ratio sr_version weight_training
    dense_training shuffle reinit chg_mask chg_weight mixed_precision seed trial_num fixed_init seed_fixed_init trainer
    use_full_data data workers num_workers gpu no_cuda multiprocessing_distributed world_size rank dist_backend
    checkpoint_at_prune ckpt_at_fixed_epochs save_model save_every ckpt_interval pretrained pretrained2 resume load_ckpt
    drop_bottom_half_weights skip_fine_tune skip_sanity_checks only_sanity sanity_folder invert_sanity_check evaluate
    evaluate_only compare_rounding lr_adjust hc_warmup hc_period mode_connect imp_rewind_iter imp_no_rewind imp_rounds
    imp_resume_round loss log_dir log_interval print_freq results_filename run_idx weight_decay iter_ep
    transfer_learning datasets data_dir'''.split()


def conversion(**over: Any) -> Conversion:
    """The published sample with other values; None leaves a key out."""

    return convert({key: value for key, value in (SAMPLE | over).items() if value is not None}, 'mine.yml')


def recipe(**over: Any) -> Raw:
    return conversion(**over).recipe


def errors(**over: Any) -> list[str]:
    with pytest.raises(LthError) as caught:
        conversion(**over)
    return str(caught.value).splitlines()


def test_the_published_sample_is_the_published_recipe_but_for_the_moment_of_freezing():
    converted = make_plan(recipe(), 'mine.yml').recipe.dump()
    published = make_plan(presets.find('gem-resnet20-cifar10-0.59').settings, 'gem-resnet20-cifar10-0.59').recipe.dump()
    assert differences(converted | {'source': ''}, published | {'source': ''}) == [
        'algorithm.freeze_offset: 1 epoch / 0 iterations']
    assert converted['source'] == 'mine.yml (rare-gems settings)'


def test_the_published_sample_keeps_the_published_number_of_weights():
    assert make_plan(recipe(), 'mine.yml').kept[-1] == 1580


def test_every_known_key_is_in_exactly_one_class():
    assert sorted((*CONVERTED, *NOT_NEEDED, *REFUSED, *IGNORED)) == sorted(NAMES)


def test_docs_gems_md_names_every_key_that_is_converted_refused_or_ignored():
    text = (Path(__file__).parents[2] / 'docs' / 'gems.md').read_text().split('## Rare-gems settings')[1]
    assert [key for key in (*CONVERTED, *REFUSED, *IGNORED) if f'`{key}' not in text] == []


def test_refusals_name_known_kinds_of_search():
    assert all(kinds <= KINDS for kinds in [refusal.kinds for refusal in REFUSED.values()])


def test_a_rare_gems_file_is_read_as_yaml(tmp_path):
    text = ''.join(f'{key}: {value}\n' for key, value in SAMPLE.items()) + 'fine_tune_wd: 1e-4\n'
    assert convert(parse_yaml(text, 'mine.yml'), 'mine.yml').recipe == recipe()


def test_one_note_lists_the_keys_that_are_not_needed():
    lists = [note for note in conversion(save_every=10).notes if note.startswith('not needed here: ')]
    assert len(lists) == 1
    assert lists[0].removeprefix('not needed here: ').split(', ') == [
        'name', 'conv_type', 'freeze_weights', 'prune_type', 'round', 'noise', 'noise_ratio',
        'quantize_threshold', 'workers', 'gpu', 'checkpoint_at_prune', 'skip_sanity_checks', 'save_every']


@pytest.mark.parametrize('key', NOT_NEEDED)
def test_a_key_that_is_not_needed_changes_nothing_and_is_listed(key):
    changed = conversion(**{key: 3})
    assert changed.recipe == recipe()
    assert any(note.startswith('not needed here: ') and key in note.split(': ')[1].split(', ')
               for note in changed.notes)


def test_published_defaults_are_used_for_missing_keys_and_listed():
    found = convert({'algo': 'hc_iter', 'arch': 'resnet20', 'dataset': 'CIFAR10'}, 'mine.yml')
    training, algorithm = found.recipe['training'], found.recipe['algorithm']
    assert training['optimizer'] == {
        'name': 'sgd', 'learning_rate': 0.001, 'weight_decay': 5e-4, 'momentum': 0.9, 'nesterov': False}
    assert (training['length'], training['batch_size'], training['schedule']) == (
        '10 epochs', 64, {'name': 'constant'})
    assert (algorithm['density'], algorithm['freeze_every'], algorithm['penalty']) == (0.005, '5 epochs', 0.)
    assert (algorithm['finetune']['optimizer']['learning_rate'], algorithm['final_mask']) == (0.01, 'above-threshold')
    assert any('lr 0.001, lr_policy constant_lr, epochs 10' in note for note in found.notes)


def test_the_seed_depends_on_the_number_of_the_trial():
    assert conversion().seeds == (42,)
    assert conversion(seed=7).seeds == (7,)
    third = conversion(seed=7, trial_num=3)
    assert third.seeds == (21,)
    assert any('the seed is seed times trial_num, 21' in note for note in third.notes)


def test_the_folder_of_the_data_sets_is_converted():
    assert conversion().datasets is None
    assert conversion(data='/data/sets').datasets == Path('/data/sets')


@pytest.mark.parametrize(('over', 'expected'), [
    ({'target_sparsity': 20}, {'density': 0.2}), ({'target_sparsity': 1e-5}, {'density': 1e-7}),
    ({'target_sparsity': 100}, {'density': 1.}), ({'iter_period': 8}, {'freeze_every': '8 epochs'}),
    ({'lmbda': 0.003}, {'penalty': 0.003}), ({'unflag_before_finetune': False}, {'final_mask': 'above-threshold'}),
    ({'score_init': 'half'}, {'scores': 'half'}), ({'score_init': 'bern'}, {'scores': 'bernoulli'}),
    ({'score_init': 'bimodal'}, {'scores': 'bimodal'}), ({'score_init': 'skew'}, {'scores': 'skew'}),
    ({'regularization': 'L1'}, {'regularizer': 'l1'}), ({'regularization': 'L1_L2'}, {'regularizer': 'l1-l2'}),
    ({'regularization': 'var_red_2'}, {'regularizer': 'weighted-variance'}),
    ({'regularization': 'bin_entropy'}, {'regularizer': 'entropy'}), ({'regularization': True}, {'penalty': 0.}),
    ({'regularization': 'var_red_1', 'alpha': 2}, {'regularizer': 'variance', 'exponents': [2., 1.]}),
    ({'regularization': False}, {'penalty': 0.}), ({'invert_sanity_check': True}, {'keep': 'smallest'}),
    ({'first_layer_dense': True, 'last_layer_dense': True}, {'keep_out': ['stem.0.weight', 'output']})])
def test_a_setting_of_the_search_is_converted(over, expected):
    default = recipe()['algorithm']
    changed = recipe(**over)['algorithm']
    assert {key: value for key, value in changed.items() if default.get(key) != value} == expected
    assert default.keys() <= changed.keys()


def test_an_overriding_prune_rate_is_converted_to_the_final_density():
    found = recipe(override_prune_rate=True, prune_rate=0.162215)
    assert found['algorithm']['density'] == pytest.approx(0.0059, rel=1e-4)
    assert make_plan(found, 'mine.yml').kept[-1] == 1580


@pytest.mark.parametrize(('over', 'path', 'expected'), [
    ({'epochs': 88}, ('training', 'length'), '88 epochs'), ({'batch_size': 512}, ('training', 'batch_size'), 512),
    ({'lr': 0.5}, ('training', 'optimizer', 'learning_rate'), 0.5),
    ({'wd': 0.001}, ('training', 'optimizer', 'weight_decay'), 0.001),
    ({'momentum': 0.5}, ('training', 'optimizer', 'momentum'), 0.5),
    ({'momentum': 0.5}, ('algorithm', 'finetune', 'optimizer', 'momentum'), 0.5),
    ({'nesterov': True}, ('training', 'optimizer', 'nesterov'), True),
    ({'optimizer': 'adam', 'lr': 0.01}, ('training', 'optimizer'),
     {'name': 'adam', 'learning_rate': 0.01, 'weight_decay': 0.}),
    ({'fine_tune_optimizer': 'adam'}, ('algorithm', 'finetune', 'optimizer'),
     {'name': 'adam', 'learning_rate': 0.01, 'weight_decay': 1e-4}),
    ({'fine_tune_lr': 0.05}, ('algorithm', 'finetune', 'optimizer', 'learning_rate'), 0.05),
    ({'fine_tune_wd': 0}, ('algorithm', 'finetune', 'optimizer', 'weight_decay'), 0.),
    ({'lr_policy': 'constant_lr'}, ('training', 'schedule'), {'name': 'constant'}),
    ({'lr_policy': 'multistep_lr', 'lr_gamma': 0.3, 'gamma': 0.2, 'lr_adjust': 30, 'milestones': [30, 60]},
     ('training', 'schedule'), {'name': 'multistep', 'milestones': ['80 epochs', '120 epochs']}),
    ({'fine_tune_lr_policy': 'cosine_lr'}, ('algorithm', 'finetune', 'schedule'), {'name': 'cosine', 'per': 'epoch'}),
    ({'epochs': 300}, ('algorithm', 'finetune', 'schedule', 'milestones'), ['150 epochs', '250 epochs']),
    ({'mixed_precision': True}, ('training', 'precision'), 'bf16'),
    ({'init': 'unsigned_constant'}, ('model', 'initializer'), 'unsigned-constant'),
    ({'init': 'kaiming_normal'}, ('model', 'initializer'), 'kaiming-normal'),
    ({'init': 'kaiming_uniform'}, ('model', 'initializer'), 'kaiming-uniform'),
    ({'init': 'xavier_normal'}, ('model', 'initializer'), 'glorot-normal'),
    ({'bn_type': 'AffineBatchNorm'}, ('model', 'norm'), 'affine')])
def test_a_setting_of_network_or_training_is_converted(over, path, expected):
    found: Any = recipe(**over)
    make_plan(found, 'mine.yml')
    for key in path:
        found = found[key]
    assert found == expected


@pytest.mark.parametrize(('epochs', 'expected'), [
    (100, [50, 80]), (150, [80, 120]), (160, [80, 120]), (200, [100, 150]), (300, [150, 250]), (90, [45, 60])])
def test_the_learning_rate_of_finetuning_drops_at_the_published_epochs(epochs, expected):
    assert finetuning_milestones(epochs) == expected


# Weights as rare-gems counts them, or as lth does where rare-gems leaves some out.
@pytest.mark.parametrize(('arch', 'dataset', 'name', 'weights'), [
    ('resnet20', 'CIFAR10', 'resnet20', 268_336), ('resnet32', 'CIFAR10', 'resnet32', 461_872),
    ('cResNet18', 'CIFAR10', 'resnet18', 11_164_352),
    ('TinyResNet18', 'TinyImageNet', 'resnet18-imagenet', 11_164_352 + 3 * 64 * (49 - 9) + 190 * 512),
    ('vgg16', 'CIFAR10', 'vgg16-max-pool', 14_715_584),
    ('tinyvgg16', 'TinyImageNet', 'vgg16-max-pool', 14_715_584 + 190 * 512),
    ('MobileNetV2', 'CIFAR10', 'mobilenet-v2', 2_261_824),
    ('WideResNet28', 'CIFAR100', 'wide-resnet28-2', 1_463_984 + 90 * 128), ('Conv2', 'CIFAR10', 'conv-2', 4_300_992),
    ('Conv4', 'CIFAR10', 'conv-4', 2_425_024), ('Conv6', 'CIFAR10', 'conv-6', 2_261_184),
    ('ResNet50', 'ImageNet', 'resnet50', 25_502_912),
    ('ResNet101', 'FfcvImageNet', 'torchvision:resnet101', 44_442_816)])
def test_every_network_is_a_model_of_lth_with_the_same_number_of_weights(arch, dataset, name, weights):
    found = conversion(arch=arch, dataset=dataset, first_layer_dense=True)
    plan = make_plan(found.recipe, 'mine.yml')
    assert plan.recipe.model.name == name and plan.network.layout.weight_count == weights
    convolutions = [slot for slot in plan.network.layout.slots if slot.kind == 'convolution']
    least = min(convolutions, key=lambda slot: slot.shape[1])
    kept_out = [slot for slot in plan.network.layout.slots if slot.kind != 'other' and not slot.prunable]
    assert [slot.shape[1] for slot in kept_out] == [3] and least.shape[1] <= 3
    noted = any(note.startswith(f'{name}: ') for note in found.notes)
    biased = any(slot.name.endswith('bias') and slot.size == plan.source.classes for slot in plan.network.layout.slots)
    assert noted == biased


@pytest.mark.parametrize(('arch', 'count'), [
    ('ResNet50', '2,768,896'), ('ResNet101', '2,768,896'), ('TinyResNet18', '172,032')])
def test_a_note_says_that_rare_gems_does_not_count_shortcuts(arch, count):
    found = conversion(arch=arch, dataset='ImageNet' if arch != 'TinyResNet18' else 'TinyImageNet')
    assert any(f'its projection shortcuts, {count} weights' in note for note in found.notes)
    slots = make_plan(found.recipe, 'mine.yml').network.layout.slots
    sizes = [slot.size for slot in slots if slot.kind == 'convolution' and (
        'shortcut' in slot.name or 'downsample' in slot.name)]
    assert f'{sum(sizes):,}' == count


@pytest.mark.parametrize(('dataset', 'name', 'crop', 'flip'), [
    ('CIFAR10', 'cifar10', 4, True), ('CIFAR100', 'cifar100', 4, True), ('TinyImageNet', 'tiny-imagenet', 4, True),
    ('ImageNet', 'imagenet', 0, True), ('FfcvImageNet', 'imagenet', 0, True), ('MNIST', 'mnist', 0, False),
    ('cifar-10', 'cifar10', 4, True)])
def test_every_data_set_is_one_of_lth(dataset, name, crop, flip):
    arch = 'Conv4' if name != 'imagenet' else 'ResNet50'
    settings = make_plan(recipe(dataset=dataset, arch=arch), 'mine.yml').recipe.data
    assert (settings.name, settings.crop, settings.flip, settings.normalization) == (name, crop, flip, 'standardize')
    assert settings.resized_crop == (0.08 if name == 'imagenet' else None)


def test_a_note_says_that_use_full_data_still_leaves_validation_images():
    full = conversion(use_full_data=True)
    assert full.recipe == recipe()
    assert any('data.validation' in note for note in full.notes)


FINETUNE = recipe()['algorithm']['finetune']


@pytest.mark.parametrize(('over', 'expected'), [
    ({'algo': 'hc'}, {'name': 'hypercube', 'density': 1., 'penalty': 1e-4, 'scores': 'uniform',
                      'rounding': 'every-step', 'final_mask': 'above-threshold', 'finetune': FINETUNE}),
    ({'algo': 'hc', 'hc_quantized': None}, {
        'name': 'hypercube', 'density': 1., 'penalty': 1e-4, 'scores': 'uniform', 'rounding': 'at-end',
        'final_mask': 'above-threshold', 'finetune': FINETUNE}),
    ({'algo': 'ep', 'prune_rate': 0.3}, {
        'name': 'edge-popup', 'density': 0.3, 'penalty': 1e-4, 'finetune': FINETUNE}),
    ({'algo': None, 'target_sparsity': None, 'regularization': False}, {
        'name': 'edge-popup', 'density': 0.5, 'penalty': 0., 'finetune': FINETUNE}),
    ({'algo': 'global_ep', 'regularization': None}, {
        'name': 'global-edge-popup', 'density': 0.0059, 'penalty': 0., 'finetune': FINETUNE}),
    ({'algo': 'global_ep', 'override_prune_rate': True, 'prune_rate': 0.75, 'invert_sanity_check': True}, {
        'name': 'global-edge-popup', 'density': 0.25, 'penalty': 1e-4, 'keep': 'smallest', 'finetune': FINETUNE}),
    ({'algo': 'global_ep_iter'}, {
        'name': 'global-edge-popup', 'density': 0.0059, 'penalty': 1e-4, 'finetune': FINETUNE,
        'shrink_every': '5 epochs'}),
    ({'algo': 'global_ep_iter', 'override_prune_rate': True, 'prune_rate': 0.5, 'iter_period': 70}, {
        'name': 'global-edge-popup', 'density': 0.25, 'penalty': 1e-4, 'finetune': FINETUNE,
        'shrink_every': '70 epochs'})])
def test_an_algorithm_that_trains_scores_is_converted(over, expected):
    found = recipe(**over)
    assert found['algorithm'] == expected
    assert found['training'] == recipe()['training']


@pytest.mark.parametrize(('over', 'rounds'), [
    ({'imp_rounds': 7}, 7), ({'imp_rounds': 0}, 0), ({'target_sparsity': 1.44}, 19), ({'target_sparsity': 64}, 2),
    ({'target_sparsity': 63}, 3), ({'target_sparsity': 50, 'prune_rate': 0.5}, 1),
    ({'target_sparsity': None, 'epochs': 4800}, 29), ({'target_sparsity': None, 'epochs': 160}, 24)])
def test_iterative_magnitude_pruning_is_converted_with_its_number_of_rounds(over, rounds):
    found = recipe(algo='imp', **({'iter_period': 160} | over))
    assert found['algorithm'] == {'name': 'magnitude', 'rounds': rounds, 'rates': over.get('prune_rate', 0.2),
                                  'scope': 'global', 'rewind': '1000 iterations'}
    assert found['training'] == recipe(epochs=160)['training']
    assert len(make_plan(found, 'mine.yml').kept) == rounds + 1


def test_a_round_of_magnitude_pruning_trains_for_all_epochs_unless_there_is_a_period():
    found = recipe(algo='imp', iter_period=None, imp_rewind_iter=2000)
    assert (found['training']['length'], found['algorithm']['rewind']) == ('150 epochs', '2000 iterations')
    note = conversion(algo='imp', iter_period=160).notes[-1]
    assert note.startswith('not needed here: ') and 'epochs' in note.removeprefix('not needed here: ').split(', ')


@pytest.mark.parametrize('over', [
    {'algo': 'training'}, {'weight_training': True}, {'dense_training': True}, {'arch': 'resnet20Normal'}])
def test_a_dense_network_is_trained_without_pruning(over):
    found = conversion(**over)
    assert found.recipe['algorithm'] == {'name': 'magnitude', 'rounds': 0}
    assert found.recipe['training'] == recipe()['training'] and found.recipe['model'] == recipe()['model']
    assert make_plan(found.recipe, 'mine.yml').kept == [268_336]
    assert any('fine_tune_lr,' in note and 'target_sparsity' in note for note in found.notes)


def test_magnitude_pruning_of_a_network_without_scores_is_magnitude_pruning():
    assert recipe(algo='imp', arch='resnet20Normal', iter_period=160)['algorithm']['rounds'] == 23


@pytest.mark.parametrize('over', [{'random_subnet': True}, {}])
def test_a_smart_ratio_is_the_share_that_is_removed_and_the_rest_is_finetuned(over):
    found = conversion(smart_ratio=0.9941, **over)
    assert found.recipe['algorithm'] == {'name': 'smart-ratio', 'density': 0.0059}
    assert found.recipe['training'] == FINETUNE
    assert any('random_subnet: True' in note for note in found.notes) != bool(over)


@pytest.mark.parametrize(('over', 'density'), [
    ({}, 0.0059), ({'algo': 'ep', 'target_sparsity': None, 'prune_rate': 0.25}, 0.25), ({'target_sparsity': None}, 0.5),
    ({'algo': 'ep', 'prune_rate': 0.25}, 0.25), ({'prune_rate': 0.75}, 0.25)])
def test_a_random_subnetwork_has_the_same_density_in_every_layer(over, density):
    found = recipe(random_subnet=True, **over)
    assert found['algorithm'] == {'name': 'random', 'density': density, 'layers': 'uniform'}
    assert found['training'] == FINETUNE


EFFECTIVE = {
    'bias': True, 'loss': 'mse', 'mode': 'fan_out', 'nonlinearity': 'tanh', 'conv_type': 'SampleSubnetConv',
    'freeze_weights': False, 'prune_type': 'LocalBottomK', 'round': 'prob', 'noise_ratio': 0.1,
    'quantize_threshold': 0.3, 'bottom_k_on_forward': True, 'project_freq': 5, 'rewind_score': True,
    'label_smoothing': 0.1, 'width': 2.0, 'width_mult': 0.5, 'shuffle': True, 'reinit': True, 'chg_mask': True,
    'chg_weight': True, 'only_sanity': True, 'evaluate': True, 'evaluate_only': True, 'compare_rounding': True,
    'mode_connect': True, 'trainer': 'other', 'pretrained': 'model.pth', 'pretrained2': 'model.pth',
    'resume': 'model.pth', 'load_ckpt': 'model.pth', 'drop_bottom_half_weights': True}
# Values that have an effect only together with other keys.
TOGETHER = {
    'hc_warmup': (30, {'algo': 'hc'}), 'sr_version': (3, {'random_subnet': True}),
    'imp_resume_round': (4, {'algo': 'imp'})}
HARMLESS = {
    'bias': False, 'mode': 'fan_in', 'nonlinearity': 'relu', 'project_freq': 1, 'label_smoothing': 0, 'width': 1.0,
    'width_mult': 1, 'hc_warmup': 9999, 'sr_version': 1, 'loss': 'cross-entropy-loss', 'trainer': 'default',
    'pretrained': '',
    'imp_resume_round': -1, 'conv_type': 'DenseConv'}


def test_every_refused_key_is_tested():
    assert EFFECTIVE.keys() | TOGETHER.keys() == REFUSED.keys() and not EFFECTIVE.keys() & TOGETHER.keys()


@pytest.mark.parametrize('key', REFUSED)
def test_a_refused_key_with_an_effect_is_an_error_that_says_what_to_write(key):
    value, others = TOGETHER.get(key, (EFFECTIVE.get(key), {}))
    line, = errors(**others, **{key: value})
    assert line.startswith(f'mine.yml: {key}: {value!r} is not supported: ') and line.endswith('.')


@pytest.mark.parametrize('key', REFUSED)
def test_a_refused_key_that_is_switched_off_is_not_needed(key):
    off = conversion(**{key: HARMLESS.get(key, SAMPLE.get(key, False))})
    assert off.recipe == recipe()
    assert any(note.startswith('not needed here: ') and key in note for note in off.notes)


@pytest.mark.parametrize(('over', 'key'), [
    ({'noise': False}, 'noise_ratio'), ({'weight_training': True}, 'freeze_weights'),
    ({'algo': 'imp'}, 'quantize_threshold'),
    ({}, 'hc_warmup'), ({'algo': 'hc', 'epochs': 30}, 'hc_warmup')])
def test_a_refused_key_is_harmless_in_a_search_that_does_not_read_it(over, key):
    value = EFFECTIVE[key] if key in EFFECTIVE else TOGETHER[key][0]
    assert recipe(**over, **{key: value}) == recipe(**over)


@pytest.mark.parametrize(('over', 'message'), [
    ({'lr': 'abc'}, "lr: 'abc' should be a valid number."), ({'lr': True}, 'lr: True should be a valid number.'),
    ({'lr': 10 ** 400}, f'lr: 1{"0" * 96}... should be a valid number.'),
    ({'epochs': 10 ** 9}, 'epochs: 1000000000 should be less than or equal to 999999999.'),
    ({'lr': 0}, 'lr: 0 should be greater than 0.'), ({'lr': float('nan')}, 'lr: nan should be a finite number.'),
    ({'wd': -1}, 'wd: -1 should be greater than or equal to 0.'),
    ({'momentum': 1}, 'momentum: 1 should be less than 1.'),
    ({'nesterov': True, 'momentum': 0}, 'nesterov: True needs a momentum above 0.'),
    ({'nesterov': 'yes'}, "nesterov: 'yes' should be a valid boolean."),
    ({'lmbda': -1e-4}, 'lmbda: -0.0001 should be greater than or equal to 0.'),
    ({'target_sparsity': 0}, 'target_sparsity: 0 should be greater than 0.'),
    ({'target_sparsity': 101}, 'target_sparsity: 101 should be less than or equal to 100.'),
    ({'epochs': 1.5}, 'epochs: 1.5 should be a valid integer'),
    ({'epochs': 0}, 'epochs: 0 should be greater than or equal to 1.'),
    ({'batch_size': '128'}, "batch_size: '128' should be a valid integer."),
    ({'iter_period': 150}, 'iter_period: 150 should be less than epochs, 150: otherwise nothing is ever removed.'),
    ({'algo': 'global_ep_iter', 'iter_period': 200}, 'iter_period: 200 should be less than epochs, 150'),
    ({'hc_quantized': False}, 'hc_quantized: False is not supported: hc_iter rounds scores at every step.'),
    ({'override_prune_rate': True, 'prune_rate': 1}, 'prune_rate: 1 should be at least 0 and less than 1: it is'),
    ({'algo': 'ep', 'prune_rate': 0}, 'prune_rate: 0 should be above 0: it is the share of weights to keep.'),
    ({'algo': 'imp', 'prune_rate': 0.}, 'prune_rate: 0.0 should be above 0: it is the share of weights that a round'),
    ({'scale_fan': True, 'prune_rate': 1}, 'prune_rate: 1 should be less than 1: scale_fan multiplies the fan'),
    ({'algo': 'ep', 'regularization': None}, 'target_sparsity: 0.59 has no effect for ep, which keeps the share '
     'prune_rate. Write prune_rate: 0.0059.'),
    ({'regularization': 'L3'}, "regularization: 'L3' is not known"),
    ({'smart_ratio': 1.5}, 'smart_ratio: 1.5 should be between 0 and 1'),
    ({'lr_policy': 'cosine'}, "lr_policy: 'cosine' is not known, did you mean 'cosine_lr'"),
    ({'optimizer': 'rmsprop'}, "optimizer: 'rmsprop' is not known"), ({'init': 'signd'}, "init: 'signd' is not known"),
    ({'bn_type': 'None'}, "bn_type: 'None' is not known"), ({'score_init': 'uni'}, "did you mean 'unif'"),
    ({'arch': 'resnet21'}, "arch: 'resnet21' is not known, did you mean 'resnet20'"),
    ({'arch': 'resnet32_double'}, 'resnet32 has widths 16, 32 and 64 in lth'),
    ({'arch': 'FCNormal'}, 'the dense network of lth is lenet-300-100'),
    ({'dataset': 'Caltech101'}, 'give its images as a folder'), ({'dataset': 'CIFAR'}, "did you mean 'CIFAR10'"),
    ({'algo': 'pt'}, "algo: 'pt' is not supported: its behavior is not documented"),
    ({'algo': 'pt_hack'}, "algo: 'pt_hack' is not supported: its behavior is not documented"),
    ({'algo': 'gm'}, "algo: 'gm' is not known"), ({'seed': -1}, 'seed: -1 should be greater than or equal to 0.'),
    ({'data': 3}, 'data: 3 should be a valid string.'), ({'arch': None}, "the key 'arch' is missing"),
    ({'dataset': None}, "the key 'dataset' is missing: add it, such as `dataset: CIFAR10`.")])
def test_a_wrong_value_is_one_line_with_its_key(over, message):
    line, = errors(**over)
    assert line.startswith('mine.yml: ') and message in line


@pytest.mark.parametrize(('key', 'instead'), [
    ('weight_decay', 'wd instead, which is 0.0005 unless'), ('iter_ep', 'iter_period instead, which is 5 unless'),
    ('transfer_learning', 'pretrained instead'), ('datasets', 'data instead'), ('data_dir', 'data instead')])
def test_a_key_that_rare_gems_does_not_read_has_no_effect_and_a_note_names_the_key_that_it_reads(key, instead):
    found = conversion(**{key: 0.1})
    assert found.recipe == recipe()
    note, = [note for note in found.notes if note.startswith(f'{key} 0.1 has no effect, as in rare-gems, which reads ')]
    assert instead in note


@pytest.mark.parametrize(('over', 'words'), [
    ({'prune_type': None}, 'prune_type is not given'), ({'hc_quantized': None}, 'hc_quantized is not given'),
    ({'algo': 'ep', 'prune_rate': 0.3}, 'without override_prune_rate: True, rare-gems replaces prune_rate'),
    ({'prune_rate': 0.2}, 'not needed here'),
    ({'prune_rate': 0.2, 'target_sparsity': None}, 'prune_rate has no effect'),
    ({'algo': 'training'}, 'rare-gems finetunes the trained network'), ({'fixed_init': True}, 'seed_fixed_init'),
    ({'bn_type': 'AffineBatchNorm'}, 'rare-gems trains them'), ({}, 'scores are frozen after epochs 6, 11'),
    ({'algo': 'hc'}, 'target_sparsity has no effect'), ({'regularization': True}, 'names no regularizer'),
    ({'lr_policy': 'multistep_lr', 'milestones': [3], 'gamma': .5}, 'milestones, gamma: no effect'),
    ({'random_subnet': True, 'prune_rate': 0.9}, 'random_subnet keeps 10%')])
def test_a_note_says_where_rare_gems_does_something_else(over, words):
    assert any(words in note for note in conversion(**over).notes)


@pytest.mark.parametrize(('over', 'gain'), [
    ({'prune_rate': 0.75}, 2.), ({}, 2 ** 0.5), ({'prune_rate': 0}, None), ({'prune_rate': -1}, 0.5 ** 0.5),
    ({'prune_rate': 0.75, 'init': 'kaiming_uniform'}, None), ({'prune_rate': 0.75, 'algo': 'ep'}, 2.)])
def test_scale_fan_divides_the_initial_weights_by_the_square_root_of_the_share_that_prune_rate_leaves(over, gain):
    model = recipe(scale_fan=True, **over)['model']
    assert model.get('initializer_gain') == (None if gain is None else pytest.approx(gain))
    if gain == 2:
        plain, scaled = (make_plan(recipe(scale_fan=scale, **over), 'mine.yml').network.initial_weights(0)
                         for scale in (False, True))
        assert scaled.abs().max() == 2 * plain.abs().max()


def test_magnitude_pruning_without_rewinding_replays_the_learning_rates():
    found = recipe(algo='imp', iter_period=160, imp_no_rewind=True)
    assert (found['algorithm']['retrain'], found['algorithm']['rewind']) == ('learning-rate-rewinding', '0 iterations')
    make_plan(found, 'mine.yml')


def test_mixed_precision_is_used_in_the_search_only():
    assert recipe(mixed_precision=True)['algorithm']['finetune']['precision'] == 'fp32'


def test_names_of_lth_complete_a_file_without_arch_or_dataset():
    raw = {key: value for key, value in SAMPLE.items() if key not in ('arch', 'dataset')}
    found = convert(raw, 'mine.yml', model='lenet-5', dataset='digits').recipe
    assert (found['model']['name'], found['data'], found['model']['initializer']) == (
        'lenet-5', {'name': 'digits'}, 'signed-constant')
    assert convert(SAMPLE, 'mine.yml', model='lenet-5', dataset='digits').recipe == recipe()


@pytest.mark.parametrize(('raw', 'message'), [
    ({'metric': 'loss', 'arch': 'TwoLayerFC', 'bias': True}, "the greedy pruning program of rare-gems, .* 'metric'"),
    ({'num_epochs': 10, 'arch': 'TwoLayerFC'}, "greedy pruning program"),
    ({'model': {'name': 'resnet20'}, 'training': {}}, 'is a recipe of lth'),
    ({'services': 1, 'version': 3}, "is not a file of rare-gems settings: 'services'")])
def test_files_of_other_programs_are_recognized_in_one_sentence(raw, message):
    with pytest.raises(LthError, match=message) as caught:
        convert(raw, 'mine.yml')
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(('key', 'meant'), [
    ('lambda', "'lmbda'"), ('batch-size', "'batch_size'"), ('epoch', "'epochs'"), ('Gpu', "'gpu'")])
def test_the_error_for_an_unknown_key_names_a_similar_one(key, meant):
    line, = errors(**{key: 1})
    assert line.startswith(f'mine.yml: unknown key {key!r}, did you mean {meant}')


def test_the_error_for_an_unknown_key_without_a_similar_one_does_not_list_all_keys():
    assert errors(zzz=1) == ["mine.yml: unknown key 'zzz': no key of rare-gems is similar. Leave it out."]


def test_all_errors_of_a_file_are_reported_together():
    lines = errors(lr='abc', epohcs=3, bias=True, target_sparsity=0)
    assert sorted(line.split(': ')[1] for line in lines) == [
        'bias', 'lr', 'target_sparsity', "unknown key 'epohcs', did you mean 'epochs'?"]


@pytest.mark.parametrize('raw', [['algo'], 'algo', None, 3])
def test_a_file_that_is_not_a_mapping_is_an_error(raw):
    with pytest.raises(LthError, match=f'mine.yml: expected rare-gems settings, .* found {type(raw).__name__}'):
        convert(raw, 'mine.yml')


@pytest.mark.parametrize('pair', [('weight_training', 'mixed_precision'), ('random_subnet', 'mixed_precision')])
def test_0_and_1_are_switches(pair):
    assert recipe(**dict.fromkeys(pair, 1)) == recipe(**dict.fromkeys(pair, True)) != recipe(**dict.fromkeys(pair, 0))


# E epochs, T = 5: the code of rare-gems freezes at the end of each epoch e > 0, counted from 0, with e mod T = 0; where
# that is the last epoch, lth freezes one of the 351 iterations (45,000 images) earlier.
@pytest.mark.parametrize(('epochs', 'last'), [(12, 12 * 352), (13, 13 * 352), (11, 11 * 352), (10, 10 * 352)])
def test_scores_freeze_in_the_epochs_of_the_code_of_rare_gems(epochs, last):
    plan = make_plan(recipe(epochs=epochs), 'mine.yml')
    ends = plan.recipe.algorithm.round_ends(plan.recipe.training, 352)
    events = [min((epoch + 1) * 352, last - 1) for epoch in range(1, epochs) if epoch % 5 == 0]
    assert ends == [*events, last]
