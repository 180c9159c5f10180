"""The YAML metadata of a model card, in the form that the Hugging Face Hub documents: tags, license, model-index."""
from lth.analysis.model_card.content import CardContent
from lth.analysis.summary_table import RoundSummary
from lth.system.yaml_text import Raw

# The names of data sets on the Hub.
_DATASETS = {'mnist': 'ylecun/mnist', 'fashion-mnist': 'zalando-datasets/fashion_mnist', 'cifar10': 'uoft-cs/cifar10',
             'cifar100': 'uoft-cs/cifar100'}
_KIND_TAGS = {'tickets': 'lottery-ticket', 'gems': 'rare-gem', 'sparse networks': 'sparse-training'}


def metadata(content: CardContent, license_: str | None) -> Raw:
    """The metadata of a card. Without a license there is no field `license`."""

    tags = ['lth', 'pruning', 'sparsity', 'pytorch', content.settings.name]
    kind = _KIND_TAGS.get(content.settings.finds)
    data = _DATASETS.get(content.dataset)
    fields: Raw = {} if license_ is None else {'license': license_}
    fields |= {'library_name': 'lth', 'pipeline_tag': 'image-classification',
               'tags': tags if kind is None else [kind, *tags]}
    if data is not None:
        fields['datasets'] = [data]
    return fields | {'metrics': ['accuracy'], 'model-index': [_model(content)]}


def _model(content: CardContent) -> Raw:
    """The entry of the model-index: the test accuracy of the round that the card is about."""

    result = {'task': {'type': 'image-classification', 'name': 'Image classification'},
              'dataset': {'type': _DATASETS.get(content.dataset, content.dataset), 'name': content.dataset,
                          'split': 'test'},
              'metrics': [_accuracy(content.chosen)]}
    return {'name': content.name, 'results': [result]}


def _accuracy(row: RoundSummary) -> Raw:
    count = row.test_accuracy.n
    over = f'mean over {count} seeds' if count > 1 else 'one seed'
    return {'type': 'accuracy', 'value': round(row.test_accuracy.mean, 6),
            'name': f'test accuracy of round {row.source_number}, {row.density:.2%} of the weights, {over}'}
