"""The sections model, data and training of a recipe, from the settings of a rare-gems file."""
from lth.recipes.rare_gems.keys import SCORED
from lth.recipes.rare_gems.names import IMAGENET
from lth.recipes.rare_gems.reader import Reader
from lth.system.yaml_text import Raw

# The other initializers of rare-gems do not read scale_fan.
_SCALED = ('signed-constant', 'unsigned-constant', 'kaiming-normal')


def model(kind: str, reader: Reader) -> Raw:
    """The model with its options and initializer."""

    network = reader.arch
    if network.differs:
        reader.note(f'{network.name}: {network.differs}')
    norm = {'norm': reader.bn_type} if network.norm else {}
    if norm.get('norm') == 'affine' and kind in SCORED:
        reader.note('AffineBatchNorm: while scores are trained, scale and shift keep their initial values; rare-gems '
                    'trains them')
    if reader.fixed_init:
        reader.note('fixed_init: weights are initialized from the seed of the run; rare-gems uses seed_fixed_init')
    return {'name': network.name, 'initializer': reader.init, **_gain(reader), **network.options, **norm}


def _gain(reader: Reader) -> Raw:
    """With scale_fan, the fan is multiplied by 1 - prune_rate, whatever prune_rate means for the search."""

    if not reader.scale_fan or reader.init not in _SCALED:
        return {}
    if reader.prune_rate == 1:
        reader.error('prune_rate', 'should be less than 1: scale_fan multiplies the fan by 1 - prune_rate.')
        return {}
    if reader.prune_rate == 0:
        return {}
    reader.note(f'scale_fan: the initial weights are divided by the square root of 1 - prune_rate, prune_rate being '
                f'{reader.prune_rate:g}')
    return {'initializer_gain': (1 - reader.prune_rate) ** -0.5}


def keep_out(reader: Reader) -> Raw:
    """The layers that are not pruned."""

    if reader.first_layer_dense and not reader.arch.first:
        reader.error('first_layer_dense', 'needs the key arch. Write False, and name the layer with --set '
                                          'algorithm.keep_out=NAME.')
    layers = [reader.arch.first] if reader.first_layer_dense else []
    layers += ['output'] if reader.last_layer_dense else []
    return {'keep_out': layers} if layers else {}


def data(reader: Reader) -> Raw:
    """The data set with the augmentation of rare-gems."""

    settings = reader.dataset
    if reader.use_full_data:
        reader.note('use_full_data trains on all images in rare-gems; in lth some of them, data.validation, are always '
                    'used for validation')
    if settings == IMAGENET:
        reader.note('ImageNet is read from the folder imagenet in the folder of the data sets; `lth prepare imagenet` '
                    'writes it for FFCV')
    return dict(settings)


def search_training(reader: Reader, epochs: int) -> Raw:
    """How the search trains scores, or weights if it trains those."""

    name, schedule = reader.lr_policy, _schedule(reader.lr_policy)
    if name == 'multistep':
        schedule = _multistep(finetuning_milestones(epochs))
        _note_dead_keys(reader, epochs)
    optimizer = _optimizer(reader, reader.optimizer, reader.lr, reader.wd)
    precision = {'precision': 'bf16'} if reader.mixed_precision else {}
    return _training(reader, epochs, optimizer, schedule) | precision


def finetuning(reader: Reader, epochs: int) -> Raw:
    """How the weights of a found subnetwork are trained, for as many epochs as the search."""

    name, schedule = reader.fine_tune_lr_policy, _schedule(reader.fine_tune_lr_policy)
    if name == 'multistep':
        schedule = _multistep(finetuning_milestones(epochs))
    optimizer = _optimizer(reader, reader.fine_tune_optimizer, reader.fine_tune_lr, reader.fine_tune_wd)
    # rare-gems uses mixed precision only in the search.
    precision = {'precision': 'fp32'} if reader.mixed_precision else {}
    return _training(reader, epochs, optimizer, schedule) | precision


def finetuning_milestones(epochs: int) -> list[int]:
    """The epochs at which the learning rate drops when a gem is finetuned for `epochs`, as in the code of rare-gems."""

    published = {100: [50, 80], 150: [80, 120], 160: [80, 120], 200: [100, 150], 300: [150, 250]}
    return published.get(epochs, sorted({epochs // 2, epochs * 2 // 3} - {0}))


def _training(reader: Reader, epochs: int, optimizer: Raw, schedule: Raw) -> Raw:
    return {'length': f'{epochs} epochs', 'batch_size': reader.batch_size, 'optimizer': optimizer, 'schedule': schedule}


def _optimizer(reader: Reader, name: str, learning_rate: float, weight_decay: float) -> Raw:
    """The optimizer of the search or of finetuning; both have the same momentum."""

    settings = {'name': name, 'learning_rate': learning_rate, 'weight_decay': weight_decay}
    if name == 'adam':
        return settings
    if reader.nesterov and not reader.momentum:
        reader.error('nesterov', 'needs a momentum above 0.')
    return settings | {'momentum': reader.momentum, 'nesterov': reader.nesterov}


def _note_dead_keys(reader: Reader, epochs: int) -> None:
    """A note on the keys that seem to say when the learning rate drops, and which rare-gems does not use."""

    dead = [key for key in ('milestones', 'gamma', 'lr_gamma', 'lr_adjust') if key in reader]
    if dead:
        drops = ' and '.join(map(str, finetuning_milestones(epochs)))
        reader.note(f'{", ".join(dead)}: no effect, as in rare-gems, where multistep_lr divides the learning rate by '
                    f'10 after the epochs that belong to the number of epochs, here {drops}')


def _schedule(name: str) -> Raw:
    return {'name': name, 'per': 'epoch'} if name == 'cosine' else {'name': name}


def _multistep(milestones: list[int]) -> Raw:
    return {'name': 'multistep', 'milestones': [f'{epoch} epochs' for epoch in milestones]}
