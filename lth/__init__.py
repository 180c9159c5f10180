"""lth: lottery tickets and rare gems, sparse subnetworks that train as well as the dense network.

The functions are in lth/api.py; docs/python.md is a tutorial. All names below are imported on first use.
"""
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lth.algorithms import ALGORITHMS
    from lth.analysis.figures import FIGURES
    from lth.analysis.run_results import RunResults
    from lth.api import (
        align, card, compare, curvature, early_bird, evaluate, evaluate_on, export, export_metrics, find_gem,
        find_ticket, finetune, import_run, iterate, open_run, plot, pool, pull, push, round_barriers, sanity_check,
        sign_flips, stability, train_early_birds, train_sparse, transfer)
    from lth.datasets import DATASETS
    from lth.errors import LthError
    from lth.experiments.executors import EXECUTORS
    from lth.exports.formats import EXPORT_FORMATS
    from lth.exports.torch_modules import NamedTicket, load_ticket
    from lth.models.initializers import INITIALIZERS
    from lth.models.registry import MODELS
    from lth.pruning.controls import CONTROLS
    from lth.pruning.criteria import CRITERIA
    from lth.pruning.mask_actions import MASK_ACTIONS

__version__ = '1.0.0'
_MODULES = {
    'lth.api': (
        'align', 'card', 'compare', 'curvature', 'early_bird', 'evaluate', 'evaluate_on', 'export', 'export_metrics',
        'find_gem', 'find_ticket', 'finetune', 'import_run', 'iterate', 'open_run', 'plot', 'pool', 'pull', 'push',
        'round_barriers', 'sanity_check', 'sign_flips', 'stability', 'train_early_birds', 'train_sparse', 'transfer'),
    'lth.analysis.figures': ('FIGURES',),
    'lth.analysis.run_results': ('RunResults',),
    'lth.exports.torch_modules': ('NamedTicket', 'load_ticket'),
    'lth.errors': ('LthError',),
    'lth.algorithms': ('ALGORITHMS',),
    'lth.experiments.executors': ('EXECUTORS',),
    'lth.exports.formats': ('EXPORT_FORMATS',),
    'lth.datasets': ('DATASETS',),
    'lth.models.initializers': ('INITIALIZERS',),
    'lth.models.registry': ('MODELS',),
    'lth.pruning.controls': ('CONTROLS',),
    'lth.pruning.criteria': ('CRITERIA',),
    'lth.pruning.mask_actions': ('MASK_ACTIONS',)}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [
    'ALGORITHMS', 'CONTROLS', 'CRITERIA', 'DATASETS', 'EXECUTORS', 'EXPORT_FORMATS', 'FIGURES', 'INITIALIZERS',
    'MASK_ACTIONS', 'MODELS', 'LthError', 'NamedTicket', 'RunResults', 'align', 'card', 'compare', 'curvature',
    'early_bird', 'evaluate', 'evaluate_on', 'export', 'export_metrics', 'find_gem', 'find_ticket', 'finetune',
    'import_run', 'iterate', 'load_ticket', 'open_run', 'plot', 'pool', 'pull', 'push', 'round_barriers',
    'sanity_check', 'sign_flips', 'stability', 'train_early_birds', 'train_sparse', 'transfer']


def __getattr__(name: str) -> Any:
    # On first use: torch takes 2 s to import, and `lth --help` must not wait for it.
    if name in _MODULE_OF:
        importlib.import_module('lth.system.supported_systems').refuse_windows()
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
