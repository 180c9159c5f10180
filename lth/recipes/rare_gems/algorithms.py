"""What a rare-gems file does, as an algorithm of ours: the sections training and algorithm.

A kind is the file's `algo` unless other keys overrule it: a dense network, or a random subnetwork. A new kind is a
function here, a line in `_KINDS` and its word in keys.py.
"""
import math
from decimal import Decimal

from lth.recipes.rare_gems.reader import Reader
from lth.recipes.rare_gems.sections import finetuning, is_dense, keep_out, search_training
from lth.system.files import Raw

_PARTS = tuple[Raw, Raw]
_ALGOS = ('hc_iter', 'hc', 'ep', 'global_ep', 'global_ep_iter', 'imp', 'training')
_NO_ALGOS = dict.fromkeys(
    ('pt', 'pt_hack'), 'what it does is not documented, so nothing could be checked: choose hc_iter, hc or ep')
_SCORES = {'unif': 'uniform', 'half': 'half', 'bern': 'bernoulli', 'bimodal': 'bimodal', 'skew': 'skew'}
_REGULARIZERS = {'L2': 'l2', 'L1': 'l1', 'L1_L2': 'l1-l2', 'var_red_1': 'variance', 'False': '', 'None': ''}
_NO_REGULARIZERS = {
    'var_red_2': 'it weighs p(1-p) by the squared weight: var_red_1 does without, and signed_constant makes them one '
                 'within a layer',
    'bin_entropy': 'take var_red_1, which draws scores to 0 and 1 too'}
_RATE = 0.2  # what iterative magnitude pruning removes there in a round


def kind_of(given: Reader) -> str:
    """What is done: one of KINDS in keys.py."""

    algo = given.choice('algo', {name: name for name in _ALGOS}, refused=_NO_ALGOS)
    if algo == 'imp':
        return algo  # which trains weights whatever the network is called
    if given.truth('weight_training') or given.truth('dense_training') or is_dense(given):
        return 'training'
    if 'smart_ratio' in given and given.number('smart_ratio') != -1:
        return 'smart_ratio'
    return 'random_subnet' if given.truth('random_subnet') else algo


def algorithm(kind: str, given: Reader) -> _PARTS:
    """The sections training and algorithm."""

    training, settings = _KINDS[kind](given)
    return training, settings | keep_out(given)


def _gem_miner(given: Reader) -> _PARTS:
    epochs = _epochs(given)
    if 'hc_quantized' in given and not given.truth('hc_quantized'):
        given.complain('hc_quantized', 'is not offered: hc_iter rounds scores at every step. Write True, or algo: hc.')
    every = _period(given, epochs)
    density = _density(given, 1 - _removed(given), (epochs - 1) // every)
    final = 'active' if given.truth('unflag_before_finetune') else 'above-threshold'
    return search_training(given, epochs), {
        'name': 'gem-miner', 'density': density, 'freeze_every': f'{every} epochs', **_penalty(given),
        **_score_start(given), 'final_mask': final, **_keep(given), 'finetune': finetuning(given, epochs)}


def _hypercube(given: Reader) -> _PARTS:
    epochs = _epochs(given)
    density = _target(given)
    given.note('hc ends in rare-gems with whatever scores are above one half; here target_sparsity decides, and the '
                 f'best {100 * density:g}% are kept')
    rounding = 'every-step' if given.truth('hc_quantized') else 'at-end'
    return search_training(given, epochs), {
        'name': 'hypercube', 'density': density, **_penalty(given), **_score_start(given), 'rounding': rounding,
        **_keep(given), 'finetune': finetuning(given, epochs)}


def _edge_popup(given: Reader) -> _PARTS:
    epochs = _epochs(given)
    if _penalty(given)['penalty']:
        given.complain('regularization', 'is not offered with ep: leave it out, or take algo: global_ep.')
    return search_training(given, epochs), {
        'name': 'edge-popup', 'density': _kept_share(given), **_keep(given), 'finetune': finetuning(given, epochs)}


def _global_edge_popup(given: Reader) -> _PARTS:
    epochs = _epochs(given)
    return search_training(given, epochs), _global(given, epochs, _density(given, 1 - _removed(given), 1))


def _gradual_edge_popup(given: Reader) -> _PARTS:
    epochs = _epochs(given)
    every = _period(given, epochs)
    density = _density(given, 1 - _removed(given), epochs // every)
    return search_training(given, epochs), _global(given, epochs, density) | {'shrink_every': f'{every} epochs'}


def _global(given: Reader, epochs: int, density: float) -> Raw:
    penalty = _penalty(given)
    if 'regularizer' in penalty:
        given.complain('regularization', 'is not offered with a global edge-popup: take L2, or leave it out.')
    return {'name': 'global-edge-popup', 'density': density, 'penalty': penalty['penalty'], **_keep(given),
            'finetune': finetuning(given, epochs)}


def _magnitude(given: Reader) -> _PARTS:
    """A round trains for iter_period epochs, and for `epochs` where there is none."""

    length = given.whole('iter_period', least=1) if 'iter_period' in given else _epochs(given)
    rate = given.number('prune_rate', above=0, below=1) if 'prune_rate' in given else _RATE
    return search_training(given, length), {
        'name': 'magnitude', 'rounds': _rounds(given, rate, length), 'rates': rate, 'scope': 'global',
        'rewind': f'{given.whole("imp_rewind_iter", least=0)} iterations'}


def _rounds(given: Reader, rate: float, length: int) -> int:
    """Prunings: as many as are given, or the fewest that reach the target; without one, `epochs` are those of all
    rounds, the dense one too.
    """

    if 'imp_rounds' in given:
        return given.whole('imp_rounds', least=0, default=0)
    if 'target_sparsity' not in given and 'epochs' in given and _epochs(given) >= 2 * length:
        return _epochs(given) // length - 1
    # A target is a rounded figure: 1.44% is what 19 prunings by a fifth leave, 1.4412%.
    return math.ceil(math.log(_target(given)) / math.log(1 - rate) - 0.02)


def _dense(given: Reader) -> _PARTS:
    return search_training(given, _epochs(given)), {'name': 'magnitude', 'rounds': 0}


def _smart_ratio(given: Reader) -> _PARTS:
    removed = given.number('smart_ratio', above=0, below=1)
    density = float(1 - Decimal(repr(removed))) if 0 < removed < 1 else 1.
    if not given.truth('random_subnet'):
        given.note('smart_ratio asks for a random subnetwork: rare-gems wants random_subnet: True beside it')
    return finetuning(given, _epochs(given)), {'name': 'smart-ratio', 'density': density}


def _random(given: Reader) -> _PARTS:
    by_rate = given.text('algo').lower() in ('', 'ep') and 'target_sparsity' not in given
    density = _kept_share(given) if by_rate else _target(given)
    return finetuning(given, _epochs(given)), {'name': 'random', 'density': density, 'layers': 'uniform'}


_KINDS = {
    'hc_iter': _gem_miner, 'hc': _hypercube, 'ep': _edge_popup, 'global_ep': _global_edge_popup,
    'global_ep_iter': _gradual_edge_popup, 'imp': _magnitude, 'training': _dense, 'smart_ratio': _smart_ratio,
    'random_subnet': _random}


def _epochs(given: Reader) -> int:
    return given.whole('epochs', least=1)


def _period(given: Reader, epochs: int) -> int:
    """The epochs from one event to the next."""

    every = given.whole('iter_period', least=1)
    if every >= epochs:
        given.complain('iter_period', f'is not before the end, epochs: {epochs}: nothing would ever be removed.')
        return 1
    return every


def _target(given: Reader) -> float:
    """The share that is kept at last."""

    return given.share('target_sparsity', percent=True)


def _kept_share(given: Reader) -> float:
    """prune_rate where it is the share that is kept."""

    if 'prune_rate' not in given and 'target_sparsity' in given:
        given.complain('target_sparsity', 'has no part in ep, which keeps prune_rate, a share: write prune_rate: '
                                          f'{_target(given):g}.')
    return given.share('prune_rate')


def _removed(given: Reader) -> float:
    """The share that each event removes, if the file says so."""

    if given.truth('override_prune_rate'):
        return given.number('prune_rate', above=0, below=1)
    if 'prune_rate' in given and 'target_sparsity' not in given:
        given.complain('prune_rate', 'has no part without override_prune_rate: True; or write target_sparsity, the '
                                     'percent that is kept.')
    return 0.


def _density(given: Reader, left: float, events: int) -> float:
    """The share that is kept at last: of the file's own rate after so many events, or the target."""

    return left ** events if left < 1 else _target(given)


def _penalty(given: Reader) -> Raw:
    """λ and what it weighs; the squared scores need not be named."""

    name = given.choice('regularization', _REGULARIZERS, refused=_NO_REGULARIZERS) if 'regularization' in given else ''
    if not name:
        if 'lmbda' in given:
            given.note('without regularization scores have no penalty, whatever lmbda says')
        return {'penalty': 0.}
    penalty = {'penalty': given.number('lmbda', least=0), **({} if name == 'l2' else {'regularizer': name})}
    if name == 'variance':
        penalty['exponents'] = [given.number('alpha', least=0), given.number('alpha_prime', least=0)]
    return penalty


def _score_start(given: Reader) -> Raw:
    return {'scores': given.choice('score_init', _SCORES)}


def _keep(given: Reader) -> Raw:
    """Upside down for the sanity check; largest need not be named."""

    return {'keep': 'smallest'} if given.truth('invert_sanity_check') else {}
