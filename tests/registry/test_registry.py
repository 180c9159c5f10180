"""Registries: spelling, aliases, unknown and duplicate names."""
import pytest

from lth.errors import LthError
from lth.registry.registry import Registry


def numbers() -> Registry[int]:
    registry: Registry[int] = Registry('number')
    registry.register('cifar10', 'cifar')(1)
    registry.register('resnet-20')(2)
    return registry


@pytest.mark.parametrize('spelling', ['cifar10', 'cifar-10', 'CIFAR_10', 'Cifar 10', 'cifar'])
def test_case_hyphens_and_aliases_do_not_matter(spelling):
    assert numbers().canonical(spelling) == 'cifar10'
    assert numbers().find(spelling) == 1


def test_the_error_for_an_unknown_name_has_similar_names():
    with pytest.raises(LthError, match="Unknown number 'resnet21', did you mean 'resnet-20'?"):
        numbers().find('resnet21')


def test_the_error_for_a_name_without_similar_ones_lists_all_names():
    with pytest.raises(LthError, match='known: cifar10, resnet-20'):
        numbers().find('zzz')


def test_a_name_cannot_be_registered_twice():
    with pytest.raises(LthError, match="The number 'resnet20' is registered twice, by .* and by .*. Rename one"):
        numbers().register('resnet20')(3)


def test_a_cell_of_a_notebook_that_is_executed_again_registers_again():
    registry = numbers()
    cell = compile("registry.register('seven')(7 + len(registry.names()))", 'cell', 'exec')
    for _ in range(2):
        exec(cell, {'__name__': '__main__', 'registry': registry})  # pylint: disable=exec-used
    assert registry.find('seven') == 7 + len(registry.names())
    with pytest.raises(LthError, match="registered twice, by __main__ and by"):
        registry.register('seven')(1)
