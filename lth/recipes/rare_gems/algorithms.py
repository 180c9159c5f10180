"""The sections training and algorithm of a recipe, for each kind of search in a rare-gems file.

The kind is the file's `algo`, unless other keys mean a dense network or a random subnetwork. A new kind is a
function here, a line in `_KINDS` and a word in keys.py.
"""
import math
from decimal import Decimal

from lth.recipes.rare_gems.reader import Reader
from lth.recipes.rare_gems.sections import finetuning, keep_out, search_training
from lth.system.yaml_text import Raw

_Sections = tuple[Raw, Raw]
_RATE = 0.2  # share that a round of iterative magnitude pruning removes in rare-gems


def kind_of_search(reader: Reader) -> str:
    """One of KINDS in keys.py."""

    if reader.algo == 'imp':  # trains weights, so the other keys do not matter
        return 'imp'
    if reader.weight_training or reader.dense_training or not reader.arch.trains_scores:
        return 'training'
    if 'smart_ratio' in reader and reader.smart_ratio != -1:
        return 'smart_ratio'
    return 'random_subnet' if reader.random_subnet else str(reader.algo)


def algorithm(kind: str, reader: Reader) -> _Sections:
    """The sections training and algorithm."""

    training, settings = _KINDS[kind](reader)
    return training, settings | keep_out(reader)


def _gem_miner(reader: Reader) -> _Sections:
    if 'hc_quantized' in reader and not reader.hc_quantized:
        reader.error('hc_quantized', 'is not supported: hc_iter rounds scores at every step. Write True, or algo: hc.')
    elif not reader.hc_quantized:
        reader.note('hc_quantized is not given: lth rounds scores at every step, rare-gems multiplies weights by them')
    _note_prune_type(reader)
    period = _period(reader)
    density = _density(reader, events=(reader.epochs - 1) // period)
    reader.note(f'scores are frozen after epochs {period + 1}, {2 * period + 1}, ..., one epoch after the multiples of '
                'iter_period, as in the code of rare-gems; recipes of lth freeze at the multiples, as in the paper')
    return _score_search(reader, {
        'name': 'gem-miner', 'density': density, 'freeze_every': f'{period} epochs', 'freeze_offset': '1 epochs',
        **_penalty(reader),
        'scores': reader.score_init, 'final_mask': 'active' if reader.unflag_before_finetune else 'above-threshold'})


def _hypercube(reader: Reader) -> _Sections:
    if 'target_sparsity' in reader:
        reader.note('target_sparsity has no effect for hc, as in rare-gems: the gem keeps all scores above 0.5')
    return _score_search(reader, {
        'name': 'hypercube', 'density': 1., **_penalty(reader), 'scores': reader.score_init,
        'rounding': 'every-step' if reader.hc_quantized else 'at-end', 'final_mask': 'above-threshold'})


def _edge_popup(reader: Reader) -> _Sections:
    if 'prune_rate' in reader and not reader.override_prune_rate:
        reader.note('without override_prune_rate: True, rare-gems replaces prune_rate by the rate of the freeze events '
                    'for target_sparsity; lth keeps the share prune_rate')
    return _score_search(reader, {'name': 'edge-popup', 'density': _kept_share(reader), **_penalty(reader)})


def _global_edge_popup(reader: Reader) -> _Sections:
    return _score_search(reader, {
        'name': 'global-edge-popup', 'density': _density(reader, events=1), **_penalty(reader)})


def _gradual_edge_popup(reader: Reader) -> _Sections:
    _note_prune_type(reader)
    period = _period(reader)
    if reader.epochs % period == 0:
        reader.note('rare-gems prunes once more in the last epoch, below target_sparsity; lth does not')
    return _score_search(reader, {
        'name': 'global-edge-popup', 'density': _density(reader, events=(reader.epochs - 1) // period),
        **_penalty(reader), 'shrink_every': f'{period} epochs'})


def _score_search(reader: Reader, settings: Raw) -> _Sections:
    """The sections of a search that trains scores and then finetunes weights."""

    keep = {'keep': 'smallest'} if reader.invert_sanity_check else {}
    return search_training(reader, reader.epochs), {
        **settings, **keep, 'finetune': finetuning(reader, reader.epochs)}


def _magnitude(reader: Reader) -> _Sections:
    """Iterative magnitude pruning. A round takes iter_period epochs, or `epochs` without this key."""

    length = reader.iter_period if 'iter_period' in reader else reader.epochs
    rate = _removed_share(reader) if 'prune_rate' in reader else _RATE
    if rate == 0:
        reader.error('prune_rate', 'should be above 0: it is the share of weights that a round removes.')
        rate = _RATE
    # Without rewinding, rare-gems replays the learning rates from the start.
    rewinding = {'rewind': '0 iterations', 'retrain': 'learning-rate-rewinding'} if reader.imp_no_rewind else {
        'rewind': f'{reader.imp_rewind_iter} iterations'}
    return search_training(reader, length), {
        'name': 'magnitude', 'rounds': _rounds(reader, rate, length), 'rates': rate, 'scope': 'global', **rewinding}


def _rounds(reader: Reader, rate: float, length: int) -> int:
    """Number of rounds: imp_rounds; or the smallest that reaches target_sparsity; or, without a target, as many as fit
    into `epochs` together with the dense round.
    """

    if 'imp_rounds' in reader:
        return int(reader.imp_rounds)
    if 'target_sparsity' not in reader and 'epochs' in reader and reader.epochs >= 2 * length:
        return int(reader.epochs // length - 1)
    # Targets are rounded: 19 rounds that remove a fifth leave 1.4412%, which is written as 1.44.
    return math.ceil(math.log(_target(reader)) / math.log(1 - rate) - 0.02)


def _dense(reader: Reader) -> _Sections:
    if 'skip_fine_tune' not in reader:
        reader.note('rare-gems finetunes the trained network with the settings fine_tune_...; lth does not')
    return search_training(reader, reader.epochs), {'name': 'magnitude', 'rounds': 0}


def _smart_ratio(reader: Reader) -> _Sections:
    if not 0 < reader.smart_ratio < 1:
        reader.error('smart_ratio', 'should be between 0 and 1: it is the share of weights to remove.')
    if not reader.random_subnet:
        reader.note('smart_ratio means a random subnetwork; rare-gems also needs random_subnet: True')
    density = float(1 - Decimal(repr(reader.smart_ratio)))
    return finetuning(reader, reader.epochs), {'name': 'smart-ratio', 'density': density}


def _random(reader: Reader) -> _Sections:
    density = _random_density(reader)
    return finetuning(reader, reader.epochs), {'name': 'random', 'density': density, 'layers': 'uniform'}


def _random_density(reader: Reader) -> float:
    """The share that prune_rate says: the share to keep with ep, otherwise the share to remove."""

    if 'prune_rate' not in reader and 'target_sparsity' in reader:
        reader.note('random_subnet: rare-gems reads prune_rate; the file has none, so that lth keeps target_sparsity')
        return _target(reader)
    density = _kept_share(reader) if reader.algo == 'ep' else 1 - _removed_share(reader)
    if 'target_sparsity' in reader:
        reader.note(f'random_subnet keeps {100 * density:g}%, from prune_rate; target_sparsity has no effect, as in '
                    'rare-gems')
    return density


_KINDS = {
    'hc_iter': _gem_miner, 'hc': _hypercube, 'ep': _edge_popup, 'global_ep': _global_edge_popup,
    'global_ep_iter': _gradual_edge_popup, 'imp': _magnitude, 'training': _dense, 'smart_ratio': _smart_ratio,
    'random_subnet': _random}


def _period(reader: Reader) -> int:
    """Number of epochs between two events that remove weights."""

    if reader.iter_period >= reader.epochs:
        reader.error('iter_period', f'should be less than epochs, {reader.epochs}: otherwise nothing is ever removed.')
        return 1
    return int(reader.iter_period)


def _target(reader: Reader) -> float:
    """The share of weights to keep, exactly the decimal number of target_sparsity divided by 100."""

    return float(Decimal(repr(reader.target_sparsity)) / 100)


def _kept_share(reader: Reader) -> float:
    """prune_rate where it is the share of weights to keep."""

    if 'prune_rate' not in reader and 'target_sparsity' in reader:
        reader.error('target_sparsity', 'has no effect for ep, which keeps the share prune_rate. Write prune_rate: '
                                        f'{_target(reader):g}.')
    if reader.prune_rate <= 0:
        reader.error('prune_rate', 'should be above 0: it is the share of weights to keep.')
        return _RATE
    return float(reader.prune_rate)


def _removed_share(reader: Reader) -> float:
    """prune_rate where it is the share of weights that one event removes."""

    if not 0 <= reader.prune_rate < 1:
        reader.error('prune_rate', 'should be at least 0 and less than 1: it is the share of weights to remove.')
        return _RATE
    return float(reader.prune_rate)


def _density(reader: Reader, *, events: int) -> float:
    """The share of weights to keep: what this number of events leaves with override_prune_rate, or the target."""

    if reader.override_prune_rate:
        return float((1 - _removed_share(reader)) ** events)
    if 'prune_rate' in reader and 'target_sparsity' not in reader:
        reader.note('prune_rate has no effect without override_prune_rate: True, as in rare-gems; target_sparsity '
                    'decides, the percentage of weights to keep')
    return _target(reader)


def _note_prune_type(reader: Reader) -> None:
    if 'prune_type' not in reader:
        reader.note('prune_type is not given: lth prunes the smallest scores, as with BottomK; rare-gems all that are '
                    'below a threshold')


def _penalty(reader: Reader) -> Raw:
    """The penalty on the scores with its regularizer; L2, the default, is left out."""

    name = reader.regularization
    if not name:
        if 'regularization' in reader and 'lmbda' in reader:
            reader.note('regularization names no regularizer, so that scores have no penalty, as in rare-gems')
        elif 'lmbda' in reader:
            reader.note('without regularization scores have no penalty, and lmbda has no effect')
        return {'penalty': 0.}
    penalty = {'penalty': reader.lmbda}
    if name == 'variance':
        penalty['exponents'] = [reader.alpha, reader.alpha_prime]
    return penalty if name == 'l2' else penalty | {'regularizer': name}
