"""The JSON schema of recipes: what lth accepts is valid, and typical mistakes are not."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lth.algorithms import ALGORITHMS
from lth.experiments.complete_recipe import complete_recipe
from lth.experiments.recipe_schema import recipe_schema
from lth.models.registry import MODELS
from lth.recipes import presets
from lth.recipes.schema import Recipe
from lth.system import yaml_text

SCHEMA = recipe_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def errors(recipe: Any) -> list[str]:
    """The paths of the settings that a recipe should not have."""

    return sorted('.'.join(map(str, error.path)) for error in VALIDATOR.iter_errors(recipe))


def test_the_schema_is_a_schema_of_draft_2020_12():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA['$schema'] == jsonschema.Draft202012Validator.META_SCHEMA['$id']


@pytest.mark.parametrize('name', presets.names())
def test_the_recipes_of_lth_are_valid(name):
    recipe = yaml_text.read_yaml(Path(presets.__file__).parent / f'{name}.yaml')
    del recipe['preset']  # what the recipe is for; files of users have no such section
    assert errors(recipe) == []


@pytest.mark.parametrize('name', [
    'lenet-300-100-digits', 'conv-2-cifar10-dropout', 'gem-resnet20-cifar10-1.44', 'gem', 'vit-tiny-cifar10'])
def test_complete_recipes_are_valid(name):
    assert errors(complete_recipe(name)) == []


@pytest.mark.parametrize('text', [
    'training: {length: 5 epochs}', '{}', 'base: resnet20-cifar10-low', 'training: {optimizer: {learning_rate: 0.1}}',
    'training: {optimizer: {name: adamw, betas: [0.9, 0.95]}}', 'algorithm: {rewind: 1 iteration}',
    'algorithm: {rates: 0.2, keep_out: output, also_prune: [recurrent, embedding]}', 'algorithm: {rates: {dense: 0.1}}',
    'algorithm: {early_bird: [0.5, 0.2]}', 'algorithm: {name: magnitude, criterion: "mine.py:growth"}',
    'model: {name: "networks.py:small", width: 3}', 'model: {name: "timm:resnet10t", initializer: own}',
    'data: {name: "folder:./flowers", size: 64}', 'data: {resolution: null}', 'source: Frankle & Carbin 2019'])
def test_files_with_a_few_settings_are_valid(tmp_path, text):
    (tmp_path / 'mine.yaml').write_text(text)
    assert errors(yaml_text.read_yaml(tmp_path / 'mine.yaml')) == []


@pytest.mark.parametrize('text, path', [
    ('trainning: {length: 5 epochs}', ''), ('training: {lenght: 5 epochs}', 'training'),
    ('training: {length: 5}', 'training.length'), ('training: {length: 5 epoks}', 'training.length'),
    ('training: {batch_size: 60.5}', 'training.batch_size'), ('training: {batch_size: "60"}', 'training.batch_size'),
    ('training: {optimizer: {name: sgd, betas: [0.9, 0.9]}}', 'training.optimizer'),
    ('training: {optimizer: {name: lion}}', 'training.optimizer.name'),
    ('training: {optimizer: sgd}', 'training.optimizer'), ('algorithm: {roundz: 3}', 'algorithm'),
    ('algorithm: {name: magnitud}', 'algorithm.name'), ('algorithm: {name: magnitude, penalty: 1}', 'algorithm'),
    ('algorithm: {name: gem-miner, density: 2}', 'algorithm.density'),
    ('algorithm: {name: magnitude, criterion: larg-final}', 'algorithm.criterion'),
    ('algorithm: {name: gem-miner, finetune: {lr: 0.1}}', 'algorithm.finetune'),
    ('model: {name: resnet21}', 'model.name'), ('model: {name: resnet20, dropout: 0.1}', 'model'),
    ('model: {name: resnet20, initializer: kaimming}', 'model.initializer'), ('model: resnet20', 'model'),
    ('data: {name: minst}', 'data.name'), ('data: {crop: -1}', 'data.crop'), ('base: resnet', None),
    ('base: restnet', 'base')])
def test_mistakes_are_noticed_where_they_are(tmp_path, text, path):
    (tmp_path / 'mine.yaml').write_text(text)
    assert errors(yaml_text.read_yaml(tmp_path / 'mine.yaml')) == ([] if path is None else [path])


def settings_of(schema: Any, place: str = '') -> Iterator[tuple[str, Any]]:
    """Every setting in a schema with its path."""

    if isinstance(schema, dict):
        for key, value in schema.get('properties', {}).items():
            yield f'{place}.{key}', value
        for key, value in schema.items():
            if key not in ('if', 'enum'):
                yield from settings_of(value, f'{place}.{key}')
    elif isinstance(schema, list):
        for value in schema:
            yield from settings_of(value, place)


def test_every_setting_of_lth_has_a_description():
    known = [(place, schema) for place, schema in settings_of(SCHEMA) if schema is not True]
    undescribed = [place for place, schema in known
                   if not schema.get('description') and '$ref' not in schema and not place.endswith('.name')]
    assert len(known) > 150 and undescribed == []


def test_names_of_all_registries_are_listed():
    sections = SCHEMA['properties']
    assert set(ALGORITHMS.names()) <= set(sections['algorithm']['properties']['name']['enum'])
    assert set(MODELS.names()) <= set(sections['model']['properties']['name']['anyOf'][0]['enum'])
    assert sections.keys() == {'base', *Recipe.model_fields}


def test_every_definition_is_used():
    text = json.dumps(SCHEMA)
    assert [key for key in SCHEMA['$defs'] if f'"#/$defs/{key}"' not in text] == []


def test_the_schema_is_printed_as_json_and_takes_no_name(lth):
    assert json.loads(lth('show', 'schema').out) == json.loads(lth('show', 'schema', '--json').out) == SCHEMA
    refused = lth('show', 'schema', 'resnet20-cifar10')
    assert refused.code == 2 and refused.out == '' and "takes no name; it is 'resnet20-cifar10'" in refused.err
    assert '--margin belongs to `lth show run`' in lth('show', 'schema', '--margin', '1').err


@pytest.mark.parametrize('kind', ['recipe', 'run'])
def test_a_recipe_or_run_is_shown_by_its_name(lth, kind):
    refused = lth('show', kind)
    assert refused.code == 2 and f'lth show {kind} needs a name, such as: lth show {kind} ' in refused.err
