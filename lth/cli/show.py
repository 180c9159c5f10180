"""`lth show`: show one recipe with all its settings, the results of a run, or the JSON schema of recipes."""
import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth import analysis, experiments
from lth.cli.answers import print_answers
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_note, print_raw, print_text
from lth.cli.option_rules import Excludes, option_rules
from lth.cli.options import Json, Margin
from lth.cli.run_table import print_run
from lth.cli.sign_flips import show_signs
from lth.cli.trust_code import accepts_trust_code
from lth.errors import LthError, quote
from lth.runs.run_path import parse_run_path
from lth.system import yaml_text

if TYPE_CHECKING:
    from lth.analysis.run_view import RunView

_EXAMPLES = {'recipe': 'resnet20-cifar10', 'run': 'lenet-300-100-mnist'}
_FALLBACK = ('\n# A fallback. What is missing here comes from the model and data set, as in\n'
             '# lth find-ticket MODEL DATASET --recipe FILE')


@command
@accepts_trust_code
@option_rules(Excludes('--signs', ['--margin']))
def show(
        kind: Annotated[Literal['recipe', 'run', 'schema'], typer.Argument(
            metavar='KIND', show_default=False, help='What to show: recipe, run, schema.')],
        name: Annotated[str | None, typer.Argument(
            metavar='[NAME]', show_default=False,
            help='recipe: a name from `lth list recipes`, or a YAML file. run: a name in ./runs, or a path. schema: '
                 'nothing.')] = None,
        margin: Margin | None = None,
        signs: Annotated[bool, typer.Option(
            '--signs', help='Show how many kept weights of a run change their sign in training: in each round, in each '
                            'layer, and by their magnitude before training.')] = False,
        as_json: Json = False) -> None:
    """Show a recipe with all its settings and the publication they come from, the results of a run, or the JSON schema
    of recipes.

    A shown recipe can be saved, changed, and used with `--recipe`. A run is shown with its controls as by the command
    that made it, from its files alone: without its data set, and without any code that its recipe names. With the
    schema, editors complete and check recipes.

    [bold]Examples[/bold]

        lth show recipe resnet20-cifar10

        lth show recipe conv-2-cifar10-dropout > mine.yaml

        lth find-ticket conv-2 cifar10 --recipe mine.yaml

        lth show run lenet-300-100-mnist

        lth show run lenet-300-100-mnist --signs

        lth show schema > recipe.schema.json
    """

    if kind != 'run':
        _refuse_run_options(margin, signs=signs)
    if kind == 'schema':
        _show_schema(name)
        return
    if name is None:
        raise LthError(f'lth show {kind} needs a name, such as: lth show {kind} {_EXAMPLES[kind]}')
    if kind == 'recipe':
        _show_recipe(name, as_json=as_json)
    elif signs:
        show_signs(parse_run_path(name), as_json=as_json)
    else:
        _show_run(name, 0.2 if margin is None else margin, as_json=as_json)


def _refuse_run_options(margin: float | None, *, signs: bool) -> None:
    if margin is not None:
        raise LthError('--margin belongs to `lth show run`. A recipe has no results.')
    if signs:
        raise LthError('--signs belongs to `lth show run`. A recipe has no weights.')


def _show_schema(name: str | None) -> None:
    if name is not None:
        raise LthError(f'lth show schema takes no name; it is {quote(name)}. One schema is for all recipes: leave the '
                       'name out.')
    print_raw(json.dumps(experiments.recipe_schema.recipe_schema(), indent=2, ensure_ascii=False))


def _show_recipe(name: str, *, as_json: bool) -> None:
    recipe = experiments.complete_recipe.complete_recipe(name)
    if as_json:
        print_json(analysis.json_output.listings.ShownRecipe(name=name, recipe=recipe))
        return
    is_fallback = any('name' not in recipe.get(section, {}) for section in ('model', 'data'))
    print_raw(yaml_text.dump_yaml(recipe) + (_FALLBACK if is_fallback else ''))


def _show_run(name: str, margin: float, *, as_json: bool) -> None:
    """Print the table of a run, the runs that start from it, and how to resume it."""

    view = analysis.run_view.view_run(parse_run_path(name))
    for sentence in view.left_out:
        print_note(sentence)
    answers = analysis.answers.answer.view_answers(view, margin / 100)
    if as_json:
        print_json(analysis.json_output.runs.run_report(
            view.run, view.seeds, view.controls, answers, view.finetuned))
        return
    print_run(view.run, view.seeds, view.controls)
    if origin := analysis.summary_table.algorithm_settings(view.run).origin:
        print_text(f'This run was {origin}.')
    print_answers(answers)
    _print_operations(view)
    if view.derived:
        print_text(f'Results that start from this run: {", ".join(map(str, view.derived))}')
    for sentence in view.unfinished:
        print_line(sentence)


def _print_operations(view: 'RunView') -> None:
    """Print the multiply-adds of the last round for an image, and those of the training, if the run recorded them."""

    last = min(map(view.run.round_count, view.seeds)) - 1
    operations = analysis.operation_counts.round_operations(view.run.record(view.seeds[0], last))
    training = analysis.training_operations.mean_training_operations(view.run, view.seeds)
    if operations is None or training is None:
        return
    finetuned = view.finetuned and analysis.training_operations.mean_training_operations(view.finetuned, view.seeds)
    then = f', and its finetuning {finetuned.mean:.3g}' if finetuned else ''
    print_text(f'Multiply-adds for an image: {operations.dense:,} with all weights, {operations.surviving:,} '
               f'({operations.surviving / operations.dense:.2%}) in round {view.run.table_round(last)}. The training '
               f'of a seed took {training.mean:.3g}{then}.')
