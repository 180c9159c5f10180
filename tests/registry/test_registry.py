"""Names that users type."""
import pytest

from lth.errors import LthError
from lth.registry.registry import Registry


def filled() -> Registry[int]:
    things: Registry[int] = Registry('number')
    things.register('cifar10', 'cifar')(1)
    things.register('resnet-20')(2)
    return things


@pytest.mark.parametrize('spelling', ['cifar10', 'cifar-10', 'CIFAR_10', 'Cifar 10', 'cifar'])
def test_case_hyphens_and_aliases_do_not_matter(spelling):
    assert filled().canonical(spelling) == 'cifar10'
    assert filled().find(spelling) == 1


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(LthError, match="Unknown number 'resnet21', did you mean 'resnet-20'?"):
        filled().find('resnet21')


def test_a_name_far_from_all_is_answered_with_the_list():
    with pytest.raises(LthError, match='known: cifar10, resnet-20'):
        filled().find('zzz')


def test_two_things_cannot_share_a_name():
    with pytest.raises(LthError, match='Two things'):
        filled().register('resnet20')(3)
