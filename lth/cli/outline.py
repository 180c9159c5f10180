"""What --dry-run prints: a recipe that can be saved and used again, with all counts as comments."""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lth import analysis
from lth.cli.console import print_json, print_message, print_note, print_raw
from lth.cli.tables import as_comments, make_table
from lth.system import yaml_text

if TYPE_CHECKING:
    from lth.analysis.json_output.runs import Outline
    from lth.experiments.plan import Plan
    from lth.experiments.ticket_facts import TicketFacts

_TRAINS = {'each': 'Each round trains', 'throughout': 'All rounds together train',
           'never': 'The search trains nothing. Finetuning trains'}


def print_outline(
        plan: 'Plan', controls: Mapping[str, Sequence['Plan']], facts: 'TicketFacts', *, as_json: bool) -> None:
    """Print the plan and its notes, and which controls are trained after it. `facts` are those about tickets of another
    run, if the plan trains them.
    """

    for note in plan.notes:
        print_note(note)
    outline = analysis.json_output.runs.Outline.of(plan, list(controls), facts)
    if as_json:
        print_json(outline)
    else:
        print_raw(_text(outline, _length(plan)))
    if controls:
        draws = max(map(len, controls.values()))
        each = f', {draws} draws of each' if draws > 1 else ''
        print_message(f'Then the same rounds are trained as controls{each}: {", ".join(controls)}.')


def _length(plan: 'Plan') -> str:
    """What the plan trains, and how long."""

    settings = plan.recipe.algorithm
    if settings.trains == 'never' and settings.finds != 'gems':
        return 'Nothing is trained'
    return f'{_TRAINS[settings.trains]} for {plan.steps:,} iterations'


def _text(outline: 'Outline', length: str) -> str:
    layers = make_table('Layers', {
        'name': lambda row: row.name,
        'shape': lambda row: '×'.join(map(str, row.shape)),
        'weights': lambda row: f'{row.weights:,}',
        'kind': lambda row: row.kind,
        'pruned': lambda row: 'yes' if row.prunable else 'no',
        'multiply-adds': lambda row: _count(row.multiply_adds)}, outline.layers)
    rounds = make_table('Rounds', {
        'round': lambda row: str(row.round),
        'kept': lambda row: f'{row.kept:,}',
        'density %': lambda row: f'{row.density_percent:.2f}',
        'multiply-adds': lambda row: '≈ ' * outline.estimated + _count(row.multiply_adds)}, outline.rounds)
    counts = (f'# {length}. {outline.prunable:,} of {outline.weights:,} weights can be pruned;\n'
              '# density %: share of all weights that remain, '
              'including those that cannot be pruned.')
    return '\n'.join([yaml_text.dump_yaml(outline.recipe), as_comments(layers), as_comments(rounds), counts,
                      _operations(outline)])


def _operations(outline: 'Outline') -> str:
    """Comments that say what multiply-adds are, and how many the training takes."""

    if outline.multiply_adds is None:
        return '# multiply-adds: unknown, as the model multiplies weights in other ways than layers of torch do.'
    about = 'about ' * outline.estimated
    lines = ['# multiply-adds: of convolutions and dense layers for one image, in rounds with the kept weights only.']
    if outline.estimated:
        lines.append('# ≈: if each layer keeps the same share; the search decides.')
    if outline.training_multiply_adds:
        finetuning = outline.finetuning_multiply_adds
        then = '' if finetuning is None else f', and its finetuning {about}{finetuning:.3g}'
        lines.append(f'# The training of a seed takes {about}{outline.training_multiply_adds:.3g}{then}.')
    return '\n'.join(lines)


def _count(number: int | None) -> str:
    return '' if number is None else f'{number:,}'
