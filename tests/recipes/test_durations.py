"""Lengths of training in epochs and iterations."""
import pydantic
import pytest

from lth.recipes.durations import Duration, DurationSetting

ADAPTER = pydantic.TypeAdapter(DurationSetting)


@pytest.mark.parametrize(('text', 'steps'), [
    ('50 epochs', 500), ('1 epoch', 10), ('500 iterations', 500), ('0 iterations', 0)])
def test_a_duration_in_epochs_or_iterations_is_a_number_of_steps(text, steps):
    assert ADAPTER.validate_python(text).steps(10) == steps


@pytest.mark.parametrize('text', ['50', 50, '5 weeks', '1.5 epochs', None])
def test_text_that_is_not_a_duration_is_an_error_with_an_example(text):
    with pytest.raises(pydantic.ValidationError, match="such as '50 epochs'"):
        ADAPTER.validate_python(text)


def test_a_negative_duration_is_an_error_with_the_lower_limit():
    with pytest.raises(pydantic.ValidationError, match='at least 1 epoch or iteration, or 0'):
        ADAPTER.validate_python('-3 epochs')


def test_a_duration_is_written_in_the_form_in_which_it_is_read():
    assert [str(Duration(1, 'epochs')), str(Duration(3, 'iterations'))] == ['1 epoch', '3 iterations']
    assert ADAPTER.validate_python(str(Duration(1, 'epochs'))) == Duration(1, 'epochs')
