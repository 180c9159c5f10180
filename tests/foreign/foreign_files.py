"""Files as other programs write them, of a network of dense layers for digits."""
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

HPARAMS = '''Dataset Hyperparameters
    * dataset_name => mnist
    * batch_size => 20
Model Hyperparameters
    * model_name => mnist_lenet_300_100
    * model_init => kaiming_normal
    * batchnorm_init => uniform
Training Hyperparameters
    * optimizer_name => sgd
    * lr => 0.1
    * training_steps => 2ep
    * momentum => 0.9
    * milestone_steps => 1ep
    * gamma => 0.1
    * weight_decay => 0.0001
Pruning Hyperparameters
    * pruning_strategy => sparse_global
    * pruning_fraction => 0.2
'''
OPEN_LTH_NAMES = {'fc_layers.0': 'dense1', 'fc_layers.1': 'dense2', 'fc': 'output'}


def network(seed: int = 0) -> nn.Sequential:
    """Layers with the shapes of lenet-300-100 on digits and other names."""

    torch.manual_seed(seed)
    return nn.Sequential(OrderedDict(
        first=nn.Linear(64, 300), relu1=nn.ReLU(), second=nn.Linear(300, 100), relu2=nn.ReLU(),
        head=nn.Linear(100, 10)))


def save_pruned(folder: Path, *, rounds: int = 2, share: float = 0.5) -> tuple[Path, dict[str, Tensor], nn.Module]:
    """A folder with a file for each round, as torch.nn.utils.prune leaves state dicts; the first one is dense. Also the
    initial weights, and the module of the last round.
    """

    folder.mkdir()
    module = network()
    initial = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.save(initial, folder.parent / 'initial.pt')
    for number in range(rounds):
        if number:
            for layer in (module.first, module.second):
                prune.l1_unstructured(layer, 'weight', share)
        torch.save(module.state_dict(), folder / f'round-{number + 8}.pth')
    return folder, initial, module


def save_open_lth(
        folder: Path, *, replicates: int = 1, levels: int = 2, start: str = 'ep0_it5', end: str = 'ep2_it0') -> Path:
    """A run of open_lth: each level halves the first layer, its weights are rewound, and the trained ones are twice as
    large.
    """

    for replicate in range(replicates):
        plain = network(replicate).state_dict()
        names = zip(('fc_layers.0', 'fc_layers.1', 'fc'), ('first', 'second', 'head'))
        initial = {f'{theirs}.{leaf}': plain[f'{ours}.{leaf}'] for theirs, ours in names for leaf in ('weight', 'bias')}
        mask = {name: torch.ones_like(tensor).int() for name, tensor in initial.items() if name.endswith('weight')}
        for level in range(levels):
            main = folder / f'replicate_{replicate + 1}' / f'level_{level}' / 'main'
            main.mkdir(parents=True)
            mask['fc_layers.0.weight'][:, level * 8:] = 1
            mask['fc_layers.0.weight'][:, :level * 8] = 0
            start_weights = {name: tensor * mask.get(name, 1) for name, tensor in initial.items()}
            torch.save(mask, main / 'mask.pth')
            torch.save(start_weights, main / f'model_{start}.pth')
            torch.save({name: 2 * tensor for name, tensor in start_weights.items()}, main / f'model_{end}.pth')
            (main / 'hparams.log').write_text(HPARAMS)
            (main / 'logger').write_text('test_loss,5,2.3\ntest_accuracy,5,0.1\ntest_accuracy,100,0.9125')
            (main / 'sparsity_report.json').write_text('{"total": 1.0, "unpruned": 1.0}')
    return folder


def save_gem(folder: Path, *, finetuned: bool) -> tuple[Path, dict[str, Tensor]]:
    """Results of the rare-gems program, as `scores` and `flag` of each layer, with dummies of one number for biases."""

    folder.mkdir()
    content: dict[str, Tensor] = {}
    for name, tensor in network().state_dict().items():
        layer, _, leaf = name.rpartition('.')
        content[name] = tensor
        if leaf == 'weight':
            generator = torch.Generator().manual_seed(len(content))
            content[f'{layer}.flag'] = (torch.rand(tensor.shape, generator=generator) > 0.3).float()
            content[f'{layer}.scores'] = torch.rand(tensor.shape, generator=generator)
            content[f'{layer}.bias_flag'] = torch.ones(1)
            content[f'{layer}.bias_scores'] = torch.full((1,), 1e20)
    torch.save(content, folder / 'model_before_finetune.pth')
    if finetuned:
        torch.save({name: 3 * tensor if name.endswith('weight') else tensor for name, tensor in content.items()},
                   folder / 'model_after_finetune.pth')
    return folder, content
