"""Suggestions in error messages."""
import pytest

from lth.errors import ENVIRONMENT_ERROR, USER_ERROR, LthError, describe, suggestion


@pytest.mark.parametrize(('word', 'end'), [
    ('resnet2', ", did you mean 'resnet20'?"), ('resnet30', ", did you mean 'resnet32' or 'resnet20'?"),
    ('resnet', ", did you mean 'resnet20' or 'resnet32'?"), ('VGG_19', ", did you mean 'vgg19'?"),
    ('xyz', ' (known: resnet20, resnet32, vgg19)')])
def test_a_suggestion_names_similar_words_or_else_all_known_words(word, end):
    assert suggestion(word, ['vgg19', 'resnet32', 'resnet20']) == end


def test_an_error_is_the_users_unless_it_says_that_the_environment_failed():
    assert LthError('x').exit_code == USER_ERROR
    assert LthError('x', exit_code=ENVIRONMENT_ERROR).exit_code == ENVIRONMENT_ERROR


def test_a_described_exception_is_one_line():
    assert describe(ValueError('a\n  b')) == 'ValueError: a b'
