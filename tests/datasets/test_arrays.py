"""Images and labels of users: what is converted, and the reasons for what is refused."""
import numpy as np
import pytest
import torch
from PIL import Image

from lth.datasets import arrays
from lth.errors import LthError

IMAGES = np.random.RandomState(0).randint(0, 256, (12, 6, 5)).astype('uint8')
LABELS = np.arange(12) % 3


def split(images=IMAGES, labels=LABELS):
    return arrays.make_split('mine', images, labels)


@pytest.mark.parametrize('kind', [
    'bool', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64', '>i4'])
def test_labels_may_be_integers_of_any_type(kind):
    labels = (LABELS % 2).astype(kind)
    tensors = [labels] if kind == '>i4' else [labels, torch.from_numpy(labels)]
    for value in (*tensors, list(labels), labels[::-1][::-1], labels.astype(object)):
        result = split(labels=value).labels
        assert result.dtype == torch.int64 and result.tolist() == (LABELS % 2).tolist()


def test_labels_are_compared_with_limits_as_whole_numbers_not_in_their_own_type():
    assert split(labels=np.full(12, 200, 'uint8')).labels.tolist() == [200] * 12
    with pytest.raises(LthError, match='lie between 9223372036854775808 and 9223372036854775808'):
        split(labels=np.full(12, 2 ** 63, 'uint64'))


@pytest.mark.parametrize(('labels', 'says'), [
    (LABELS + 0.5, 'are float64. Convert them to integers'), (LABELS - 1, 'lie between -1 and 1'),
    (['cat', 'dog', 'eel'] * 4, r'are not numbers .*numpy.unique\(labels, return_inverse=True\)'),
    (np.eye(3)[LABELS], r'the shape \(12, 3\) for 12 images.*labels.argmax\(1\)'),
    (LABELS[:, None], r'the shape \(12, 1\)'), (LABELS[:5], r'the shape \(5,\) for 12 images'),
    (None, r'the shape \(\)')])
def test_other_labels_are_refused_with_the_reason(labels, says):
    with pytest.raises(LthError, match=f'^mine: the labels .*{says}'):
        split(labels=labels)


@pytest.mark.parametrize('images', [
    IMAGES / 255, (IMAGES / 255).astype('float32'), (IMAGES / 255).astype('float16'), IMAGES[::-1][::-1],
    torch.from_numpy(IMAGES / 255).requires_grad_(), list(IMAGES), [torch.from_numpy(image) for image in IMAGES],
    [Image.fromarray(image) for image in IMAGES], IMAGES[:, None]],
    ids=['double', 'float', 'half', 'strides', 'gradient', 'arrays', 'tensors', 'pillow', 'channel'])
def test_images_in_other_forms_are_the_same_images(images):
    assert torch.equal(split(images).images, torch.from_numpy(IMAGES)[:, None])


def test_images_of_pillow_have_their_colors_whatever_their_mode():
    color = Image.fromarray(IMAGES[0]).convert('RGB')
    palette = Image.new('P', color.size, 0)
    palette.putpalette([7, 8, 9])
    deep = Image.fromarray(IMAGES[1].astype('uint16') * 257)
    stored = split([color, palette, deep], LABELS[:3]).images
    assert stored.shape == (3, 3, 6, 5) and stored[1, :, 0, 0].tolist() == [7, 8, 9]
    assert torch.equal(stored[0, 2], torch.from_numpy(IMAGES[0]))
    assert torch.equal(stored[2, 1], torch.from_numpy(IMAGES[1]))


@pytest.mark.parametrize(('images', 'says'), [
    (IMAGES.astype('int64'), 'are torch.int64. Convert them to uint8'),
    (IMAGES.astype('uint16') * 257, 'lie between 0 and 65[0-9]+: scale them'), (IMAGES > 9, 'Multiply them by 255'),
    (IMAGES.astype('float32'), 'not all of them are k/255'), (IMAGES / 255 * np.nan, 'floats between nan and nan'),
    (np.stack([IMAGES] * 3, -1), r'have the shape \(12, 6, 5, 3\). Give them as \(n, channels, height, width\)'),
    (IMAGES[:, :0], r'the shape \(12, 1, 0, 5\)'), (IMAGES[:0], r'the shape \(0, 1, 6, 5\)'),
    (IMAGES.astype('complex64'), 'complex64'), (np.ma.masked_array(IMAGES, IMAGES > 9), 'masked values'),
    ([IMAGES[0], IMAGES[0, :4]], r'have different shapes: \(6, 5\) of the first, \(4, 5\) of image 1'),
    ([Image.fromarray(IMAGES[0]).convert('F')], "mode 'F'"), (7.5, 'floats between 7.5'), ('x', 'are of type str')])
def test_other_images_are_refused_with_the_reason(images, says):
    with pytest.raises(LthError, match=f'^mine: the images .*{says}'):
        split(images)
