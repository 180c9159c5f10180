"""Hooks of modules and parameters, which copies of tensors do not have."""
from typing import Any

from torch import Tensor, nn

_MODULE_HOOKS = ('forward', '_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')


def copy_hooks(source: nn.Module, target: nn.Module) -> None:
    """Register the hooks of the source's parameters for those of the target, a copy of the source."""

    parameters = dict(target.named_parameters())
    for name, parameter in source.named_parameters():
        for hook in _hooks(parameter, '_backward_hooks'):
            parameters[name].register_hook(hook)
        for hook in _hooks(parameter, '_post_accumulate_grad_hooks'):
            parameters[name].register_post_accumulate_grad_hook(hook)


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks, or a method `forward` of one layer alone, may change what layers compute or their gradients."""

    of_layers = any(vars(layer).get(name) for layer in module.modules() for name in _MODULE_HOOKS)
    return of_layers or any(
        _hooks(parameter, name) for parameter in module.parameters()
        for name in ('_backward_hooks', '_post_accumulate_grad_hooks'))


def _hooks(parameter: Tensor, kind: str) -> list[Any]:
    return list((getattr(parameter, kind, None) or {}).values())
