"""Latency of exports: what the turns decide."""
import pytest
import torch

from lth.exports import latency


@pytest.mark.parametrize('ratios, faster', [
    ([2., 2., 2., 0.5], True), ([1.2, 1.1, 1.3, 1.2], True), ([1., 1.05, 0.9, 3.], False), ([1.] * 4, False),
    ([2., 2., 0.5, 0.5], None)])
def test_three_of_four_turns_decide_whether_an_export_is_faster(ratios, faster):
    assert latency.decide(ratios) is faster


def test_too_few_images_are_repeated_and_both_networks_get_the_same_batch():
    seen: dict[str, set[tuple[int, ...]]] = {'dense': set(), 'export': set()}

    def network(name: str) -> latency.Logits:
        def logits(images: torch.Tensor) -> torch.Tensor:
            seen[name].add(tuple(images.flatten().tolist()))
            return images.flatten(1)
        return logits
    measured = latency.measure(network('dense'), network('export'), torch.arange(3.).view(3, 1, 1, 1))
    assert [one.batch for one in measured] == [1, 64]
    assert seen['dense'] == seen['export'] == {(0.,), tuple(float(index % 3) for index in range(64))}


def test_verdicts_in_words():
    assert latency.Latency(1, 1., 2., 2., True).verdict == '2.0 times as fast'
    assert latency.Latency(1, 1., 1., 1., False).verdict == 'no faster'
    assert latency.Latency(1, 1., 2., 2., None).verdict.startswith('undecided')
