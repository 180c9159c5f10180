"""The keys of rare-gems settings, each in one class: taken over, not needed, refused where it matters, or misspelt.

A key that is taken over stands with its published default, None if there is none; one that is refused with when and
why.
"""
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Matters = Callable[[Any, Mapping[str, Any]], bool]

ROUNDED = frozenset({'hc_iter', 'hc'})
SCORED = ROUNDED | {'ep', 'global_ep', 'global_ep_iter'}
RANDOM = frozenset({'smart_ratio', 'random_subnet'})
KINDS = SCORED | RANDOM | {'imp', 'training'}

TAKEN: dict[str, Any] = {
    'algo': 'ep', 'arch': None, 'dataset': None, 'data': None, 'seed': 42, 'trial_num': 1,
    'bn_type': 'NonAffineBatchNorm', 'init': 'kaiming_normal', 'first_layer_dense': False, 'last_layer_dense': False,
    'use_full_data': False,
    'optimizer': 'sgd', 'lr': 0.001, 'lr_policy': 'constant_lr', 'milestones': None, 'lr_gamma': 0.1, 'gamma': 0.1,
    'epochs': 10, 'wd': 5e-4, 'momentum': 0.9, 'nesterov': False, 'batch_size': 64, 'mixed_precision': False,
    'fine_tune_optimizer': 'sgd', 'fine_tune_lr': 0.01, 'fine_tune_lr_policy': 'constant_lr', 'fine_tune_wd': 1e-4,
    'iter_period': 5, 'prune_rate': 0.5, 'override_prune_rate': False, 'target_sparsity': 0.5,
    'unflag_before_finetune': False, 'score_init': 'unif', 'hc_quantized': None, 'regularization': None,
    'lmbda': 0.001, 'alpha': 1., 'alpha_prime': 1., 'invert_sanity_check': False,
    'random_subnet': False, 'smart_ratio': -1, 'weight_training': False, 'dense_training': False,
    'imp_rewind_iter': 1000, 'imp_rounds': None}

NOT_NEEDED = (
    'name', 'subfolder', 'run_idx', 'log_dir', 'log_interval', 'print_freq', 'results_filename', 'save_model',
    'save_every', 'ckpt_interval', 'checkpoint_at_prune', 'ckpt_at_fixed_epochs', 'workers', 'num_workers', 'gpu',
    'no_cuda', 'multiprocessing_distributed', 'world_size', 'rank', 'dist_backend', 'skip_fine_tune',
    'skip_sanity_checks', 'sanity_folder', 'seed_fixed_init', 'noise', 'num_test', 'rewind_to_epoch', 'hc_period',
    'hidden_size')


class Refusal(NamedTuple):
    """When a key changes a result in a way that is not offered, of which kinds of search, and what to do about it."""

    matters: Matters
    why: str
    kinds: frozenset[str] = KINDS


def _unless(*harmless: Any) -> Matters:
    return lambda value, _: value not in harmless


def _off(value: Any, _raw: Mapping[str, Any]) -> bool:
    """Whether a switch or a path is set."""

    return value not in (False, '')


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _epochs(raw: Mapping[str, Any]) -> float:
    epochs = raw.get('epochs', TAKEN['epochs'])
    return epochs if _is_number(epochs) else math.inf


_ELSEWHERE = 'lth trains nothing of another tool: leave it out, and let the search begin anew'
_CHECKS = 'this is no search: measure what was found with `lth evaluate RUN`'

REFUSED: dict[str, Refusal] = {
    'bias': Refusal(_off, 'biases are neither pruned nor counted here: leave it out'),
    'scale_fan': Refusal(
        _off, 'weights are drawn by their whole fan, not by the share of it that is kept: write False'),
    'mode': Refusal(_unless('fan_in'), 'weights are drawn by fan_in: leave it out'),
    'nonlinearity': Refusal(_unless('relu'), 'weights are drawn for relu: leave it out'),
    'conv_type': Refusal(_unless('SubnetConv', 'DenseConv'), 'layers are masked as SubnetConv does: leave it out'),
    'freeze_weights': Refusal(_unless(True), 'scores and weights are not trained together: write True', SCORED),
    'prune_type': Refusal(
        _unless('BottomK'), 'the smallest scores of all layers together go: write BottomK',
        frozenset({'hc_iter', 'global_ep_iter'})),
    'round': Refusal(_unless('naive'), 'scores are rounded at one half, not by chance: write naive', ROUNDED),
    'noise_ratio': Refusal(
        lambda value, raw: value != 0 and bool(raw.get('noise')), 'rounded scores are not flipped: write 0', ROUNDED),
    'quantize_threshold': Refusal(_unless(0.5), 'scores are rounded at one half: write 0.5', ROUNDED),
    'bottom_k_on_forward': Refusal(
        _off, 'scores are compared with one half, and frozen at events: write False', ROUNDED),
    'project_freq': Refusal(_unless(1), 'scores are brought back into [0, 1] after every step: write 1', ROUNDED),
    'rewind_score': Refusal(_off, 'scores go on from where they are: write False', SCORED),
    'hc_warmup': Refusal(
        lambda value, raw: not _is_number(value) or value < _epochs(raw),
        'scores are not rounded for good on the way: leave it out', frozenset({'hc'})),
    'lr_adjust': Refusal(
        lambda _, raw: raw.get('lr_policy') == 'multistep_lr' and not raw.get('milestones'),
        'say at which epochs the rate drops, such as `milestones: [50, 100]`', KINDS - RANDOM),
    'label_smoothing': Refusal(_unless(0), 'the loss is plain cross-entropy: leave it out'),
    'width': Refusal(_unless(1), 'networks have the width of their paper: leave it out'),
    'width_mult': Refusal(_unless(1), 'networks have the width of their paper: leave it out'),
    'sr_version': Refusal(_unless(1), 'the smart ratio is that of Su et al. 2020: write 1', RANDOM),
    'shuffle': Refusal(_off, 'a search finds, and changes nothing that was found: write False'),
    'reinit': Refusal(_off, 'a search finds, and changes nothing that was found: write False'),
    'chg_mask': Refusal(_off, 'a search finds, and changes nothing that was found: write False'),
    'chg_weight': Refusal(_off, 'a search finds, and changes nothing that was found: write False'),
    'only_sanity': Refusal(_off, _CHECKS),
    'evaluate': Refusal(_off, _CHECKS),
    'evaluate_only': Refusal(_off, _CHECKS),
    'compare_rounding': Refusal(_off, _CHECKS),
    'mode_connect': Refusal(_off, 'paths between networks are not measured: write False'),
    'fixed_init': Refusal(_off, 'weights are drawn from the seed of the run: write False'),
    'trainer': Refusal(_unless('default'), 'there is one way to train: leave it out'),
    'pretrained': Refusal(_off, _ELSEWHERE),
    'pretrained2': Refusal(_off, _ELSEWHERE),
    'resume': Refusal(_off, 'the same command again goes on with a run of lth: leave it out'),
    'load_ckpt': Refusal(_off, _ELSEWHERE),
    'drop_bottom_half_weights': Refusal(_off, 'nothing but the schedule prunes: write False'),
    'imp_no_rewind': Refusal(
        _off, 'every round rewinds its weights, to iteration imp_rewind_iter: write False', frozenset({'imp'})),
    'imp_resume_round': Refusal(
        _unless(-1, 0), 'the same command again goes on with a run of lth: leave it out', frozenset({'imp'}))}

# Found in many files, and read by nothing: what each was meant for.
MISSPELT = {'weight_decay': ('wd',), 'iter_ep': ('iter_period',), 'transfer_learning': ('pretrained',),
            'datasets': ('dataset', 'data')}
KNOWN = (*TAKEN, *NOT_NEEDED, *REFUSED)
