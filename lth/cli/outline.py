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

_TRAINS = {'each': 'Each round trains', 'throughout': 'All rounds together train',
           'never': 'The search trains nothing. Finetuning trains'}


def print_outline(plan: 'Plan', controls: Mapping[str, Sequence['Plan']], *, as_json: bool) -> None:
    """Print the plan and its notes, and which controls are trained after it."""

    for note in plan.notes:
        print_note(note)
    outline = analysis.json_output.runs.Outline.of(plan, list(controls))
    if as_json:
        print_json(outline)
    else:
        print_raw(_text(outline, _TRAINS[plan.recipe.algorithm.trains]))
    if controls:
        draws = max(map(len, controls.values()))
        each = f', {draws} draws of each' if draws > 1 else ''
        print_message(f'Then the same rounds are trained as controls{each}: {", ".join(controls)}.')


def _text(outline: 'Outline', trains: str) -> str:
    layers = make_table('Layers', {
        'name': lambda row: row.name,
        'shape': lambda row: '×'.join(map(str, row.shape)),
        'weights': lambda row: f'{row.weights:,}',
        'kind': lambda row: row.kind,
        'pruned': lambda row: 'yes' if row.prunable else 'no'}, outline.layers)
    rounds = make_table('Rounds', {
        'round': lambda row: str(row.round),
        'kept': lambda row: f'{row.kept:,}',
        'density %': lambda row: f'{row.density_percent:.2f}'}, outline.rounds)
    counts = (f'# {trains} for {outline.iterations:,} iterations. {outline.prunable:,} of '
              f'{outline.weights:,} weights can be pruned;\n# density %: share of all weights that remain, '
              'including those that cannot be pruned.')
    return '\n'.join([yaml_text.dump_yaml(outline.recipe), as_comments(layers), as_comments(rounds), counts])
