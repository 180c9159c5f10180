"""The keys of rare-gems files: converted, not needed, refused if they affect the result, or ignored by rare-gems.

A converted key has its published default and its type, a refused key has a reason and the values that are harmless. A
new key is a line here; one that is converted also needs code that reads it.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from lth.errors import suggestion
from lth.recipes.rare_gems import names
from lth.registry.registry import normalize_name

ROUNDED = frozenset({'hc_iter', 'hc'})
SCORED = ROUNDED | {'ep', 'global_ep', 'global_ep_iter'}
RANDOM = frozenset({'smart_ratio', 'random_subnet'})
KINDS = SCORED | RANDOM | {'imp', 'training'}


class Key(NamedTuple):
    """A key that is converted: the published default as written in a file, None for a required key; the type; and an
    example, which replaces a wrong or missing value so that the rest of the file is checked.
    """

    default: Any
    type: Any
    example: Any = None


def _one_of(choices: Mapping[str, Any], refused: Mapping[str, str] | None = None) -> Any:
    """The type of a name, in upper or lower case; its value is what the name becomes."""

    reasons = {normalize_name(name): reason for name, reason in (refused or {}).items()}
    values = {normalize_name(name): value for name, value in choices.items()}

    def convert(name: object) -> Any:
        word = normalize_name(str(name))
        if word in reasons:
            raise ValueError(f'is not supported: {reasons[word]}')
        if word not in values:
            raise ValueError(f'is not known{suggestion(str(name), [*choices, *(refused or {})])}')
        return values[word]
    return Annotated[Any, BeforeValidator(convert)]


# True, False, 1 or 0.
_Switch = Annotated[bool, BeforeValidator(lambda value: bool(value) if value in (0, 1) else value)]
_Positive = Annotated[float, Field(gt=0)]
_NotNegative = Annotated[float, Field(ge=0)]
_Count = Annotated[int, Field(ge=1, le=999_999_999)]
_CountFrom0 = Annotated[int, Field(ge=0, le=999_999_999)]

CONVERTED = {
    'algo': Key('ep', _one_of(names.ALGORITHMS, names.NO_ALGORITHMS), 'hc_iter'),
    'arch': Key(None, _one_of(names.NETWORKS, names.NO_NETWORKS), 'resnet20'),
    'dataset': Key(None, _one_of(names.DATASETS, names.NO_DATASETS), 'CIFAR10'),
    'data': Key('', str),
    'seed': Key(42, _CountFrom0),
    'trial_num': Key(1, _Count),
    'bn_type': Key('NonAffineBatchNorm', _one_of(names.NORMS)),
    'init': Key('kaiming_normal', _one_of(names.INITIALIZERS)),
    'optimizer': Key('sgd', _one_of(names.OPTIMIZERS)),
    'lr': Key(0.001, _Positive),
    'lr_policy': Key('constant_lr', _one_of(names.SCHEDULES)),
    'epochs': Key(10, _Count),
    'wd': Key(5e-4, _NotNegative),
    'momentum': Key(0.9, Annotated[float, Field(ge=0, lt=1)]),
    'batch_size': Key(64, _Count),
    'fine_tune_optimizer': Key('sgd', _one_of(names.OPTIMIZERS)),
    'fine_tune_lr': Key(0.01, _Positive),
    'fine_tune_lr_policy': Key('constant_lr', _one_of(names.SCHEDULES)),
    'fine_tune_wd': Key(1e-4, _NotNegative),
    'iter_period': Key(5, _Count),
    'prune_rate': Key(0.5, Annotated[float, Field(ge=-1, le=1)]),
    'target_sparsity': Key(0.5, Annotated[float, Field(gt=0, le=100)]),
    'score_init': Key('unif', _one_of(names.SCORES)),
    'regularization': Key(False, _one_of(names.REGULARIZERS)),
    'lmbda': Key(0.001, _NotNegative),
    'alpha': Key(1., _NotNegative),
    'alpha_prime': Key(1., _NotNegative),
    'smart_ratio': Key(-1, float),
    'imp_rewind_iter': Key(1000, _CountFrom0),
    'imp_rounds': Key(0, _CountFrom0),
    **dict.fromkeys((
        'first_layer_dense', 'last_layer_dense', 'use_full_data', 'nesterov', 'mixed_precision', 'override_prune_rate',
        'unflag_before_finetune', 'hc_quantized', 'invert_sanity_check', 'random_subnet', 'weight_training',
        'dense_training', 'scale_fan', 'imp_no_rewind', 'fixed_init'), Key(False, _Switch))}

NOT_NEEDED = (
    'name', 'subfolder', 'run_idx', 'log_dir', 'log_interval', 'print_freq', 'results_filename', 'save_model',
    'save_every', 'ckpt_interval', 'checkpoint_at_prune', 'ckpt_at_fixed_epochs', 'workers', 'num_workers', 'gpu',
    'no_cuda', 'multiprocessing_distributed', 'world_size', 'rank', 'dist_backend', 'skip_fine_tune',
    'skip_sanity_checks', 'sanity_folder', 'seed_fixed_init', 'noise', 'num_test', 'rewind_to_epoch', 'hc_period',
    'hidden_size', 'milestones', 'gamma', 'lr_gamma', 'lr_adjust')


@dataclass(frozen=True)
class Refusal:
    """Why a key is refused and what to do, the values that have no effect, the kinds of search that read the key, and a
    condition on the other keys of the file.
    """

    reason: str
    harmless: tuple[Any, ...] = (False, '')
    kinds: frozenset[str] = KINDS
    condition: Callable[[Mapping[str, Any]], bool] = lambda _raw: True

    def applies(self, kind: str, key: str, raw: Mapping[str, Any]) -> bool:
        """Whether the key changes the result of this kind of search in this file."""

        return kind in self.kinds and raw[key] not in self.harmless and self.condition(raw)


def _warms_up(raw: Mapping[str, Any]) -> bool:
    """Whether hc_warmup ends before the training does."""

    try:
        return bool(raw['hc_warmup'] < raw.get('epochs', CONVERTED['epochs'].default))
    except TypeError:
        return True


_CHECKPOINT = 'checkpoints of other tools are not read; leave it out, and the search starts from the beginning'
_RESUME = 'lth resumes a run when the same command is run again; leave it out'
_CHECKS = 'a file describes a search; leave it out, and measure the result with `lth evaluate RUN`'
_CHANGES = 'a search does not change the tickets that it finds; write False'
_WIDTH = 'networks have the width of their publication; leave it out'
_HALF = 'scores are rounded at 0.5'

REFUSED = {
    'bias': Refusal('biases are neither pruned nor counted; leave it out'),
    'mode': Refusal('weights are initialized by fan_in; leave it out', ('fan_in',)),
    'nonlinearity': Refusal('weights are initialized for relu; leave it out', ('relu',)),
    'conv_type': Refusal('layers are masked as in SubnetConv; leave it out', ('SubnetConv', 'DenseConv')),
    'freeze_weights': Refusal('scores and weights are not trained together; write True', (True,), SCORED),
    'prune_type': Refusal(
        'the smallest scores of all layers together are pruned; write BottomK', ('BottomK',),
        frozenset({'hc_iter', 'global_ep_iter'})),
    'round': Refusal(f'{_HALF}, not randomly; write naive', ('naive',), ROUNDED),
    'noise_ratio': Refusal(
        'rounded scores are not flipped randomly; write 0', (0,), ROUNDED, lambda raw: bool(raw.get('noise'))),
    'quantize_threshold': Refusal(f'{_HALF}; write 0.5', (0.5,), ROUNDED),
    'bottom_k_on_forward': Refusal(
        f'{_HALF} in the forward pass, and frozen every iter_period epochs; write False', kinds=ROUNDED),
    'project_freq': Refusal('scores are clipped to [0, 1] after every step; write 1', (1,), ROUNDED),
    'rewind_score': Refusal('training of the scores continues from their values; write False', kinds=SCORED),
    'hc_warmup': Refusal(
        'scores are not rounded permanently during training; leave it out', (), frozenset({'hc'}), _warms_up),
    'label_smoothing': Refusal('the loss is cross-entropy without smoothing; leave it out', (0,)),
    'width': Refusal(_WIDTH, (1,)),
    'width_mult': Refusal(_WIDTH, (1,)),
    'sr_version': Refusal('the smart ratio is that of Su et al. 2020; write 1', (1,), RANDOM),
    **dict.fromkeys(('shuffle', 'reinit', 'chg_mask', 'chg_weight'), Refusal(_CHANGES)),
    **dict.fromkeys(('only_sanity', 'evaluate', 'evaluate_only', 'compare_rounding'), Refusal(_CHECKS)),
    'mode_connect': Refusal('a search does not measure paths between networks; write False, and use `lth stability`'),
    'loss': Refusal('the loss is cross-entropy; leave it out', ('cross-entropy-loss',)),
    'trainer': Refusal('there is one training procedure; leave it out', ('default',)),
    **dict.fromkeys(('pretrained', 'pretrained2', 'load_ckpt'), Refusal(_CHECKPOINT)),
    'resume': Refusal(_RESUME),
    'drop_bottom_half_weights': Refusal('weights are pruned only by the schedule; write False'),
    'imp_resume_round': Refusal(_RESUME, (-1, 0), frozenset({'imp'}))}

# Keys in many files that rare-gems does not read, and the keys that it reads instead.
IGNORED = {'weight_decay': 'wd', 'iter_ep': 'iter_period', 'transfer_learning': 'pretrained', 'datasets': 'data',
           'data_dir': 'data'}
# Keys that only another program of rare-gems reads: it prunes by the loss of single weights, and has no `algo`.
GREEDY = frozenset({'pruning_strategy', 'how_to_prune', 'submask_size', 'metric', 'num_epochs', 'save_plot_data',
                    'start_from_nothing', 'flips', 'td', 'temp', 'max_iter'})
KNOWN = (*CONVERTED, *NOT_NEEDED, *REFUSED, *IGNORED)
