"""The sections model, data and training of a recipe, from the settings of a rare-gems file."""
from lth.recipes.rare_gems.names import IMAGENET
from lth.recipes.rare_gems.reader import Reader
from lth.system.yaml_text import Raw


def model(reader: Reader) -> Raw:
    """The model with its options and initializer."""

    network = reader.arch
    if network.differs:
        reader.note(f'{network.name}: {network.differs}')
    norm = {'norm': reader.bn_type} if network.norm else {}
    return {'name': network.name, 'initializer': reader.init, **network.options, **norm}


def keep_out(reader: Reader) -> Raw:
    """The layers that are not pruned."""

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
        schedule = _multistep(reader.milestones or finetuning_milestones(epochs)) | {'factor': _factor(reader)}
    optimizer = _optimizer(reader, reader.optimizer, reader.lr, reader.wd)
    return _training(reader, epochs, optimizer, schedule)


def finetuning(reader: Reader, epochs: int) -> Raw:
    """How the weights of a found subnetwork are trained, for as many epochs as the search."""

    name, schedule = reader.fine_tune_lr_policy, _schedule(reader.fine_tune_lr_policy)
    if name == 'multistep':
        schedule = _multistep(finetuning_milestones(epochs))
    optimizer = _optimizer(reader, reader.fine_tune_optimizer, reader.fine_tune_lr, reader.fine_tune_wd)
    return _training(reader, epochs, optimizer, schedule)


def finetuning_milestones(epochs: int) -> list[int]:
    """The epochs at which the learning rate drops when a gem is finetuned for `epochs`, as in the code of rare-gems."""

    published = {100: [50, 80], 150: [80, 120], 160: [80, 120], 200: [100, 150], 300: [150, 250]}
    return published.get(epochs, sorted({epochs // 2, epochs * 2 // 3} - {0}))


def _training(reader: Reader, epochs: int, optimizer: Raw, schedule: Raw) -> Raw:
    precision = {'precision': 'bf16'} if reader.mixed_precision else {}
    return {'length': f'{epochs} epochs', 'batch_size': reader.batch_size, 'optimizer': optimizer, 'schedule': schedule,
            **precision}


def _optimizer(reader: Reader, name: str, learning_rate: float, weight_decay: float) -> Raw:
    """The optimizer of the search or of finetuning; both have the same momentum."""

    settings = {'name': name, 'learning_rate': learning_rate, 'weight_decay': weight_decay}
    if name == 'adam':
        return settings
    if reader.nesterov and not reader.momentum:
        reader.error('nesterov', 'needs a momentum above 0.')
    return settings | {'momentum': reader.momentum, 'nesterov': reader.nesterov}


def _factor(reader: Reader) -> float:
    """The factor at each milestone, which has two keys."""

    if 'gamma' in reader and 'lr_gamma' in reader and reader.gamma != reader.lr_gamma:
        reader.error('gamma', f'differs from lr_gamma, {reader.lr_gamma:g}: leave one of them out.')
    return float(reader.lr_gamma if 'lr_gamma' in reader else reader.gamma)


def _schedule(name: str) -> Raw:
    return {'name': name, 'per': 'epoch'} if name == 'cosine' else {'name': name}


def _multistep(milestones: list[int]) -> Raw:
    return {'name': 'multistep', 'milestones': [f'{epoch} epochs' for epoch in milestones]}
