"""`lth find-gem`, and finetuning and evaluating gems."""
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lth.experiments import runner
from lth.recipes.rare_gems import finetuning_milestones
from lth.runs.folder import Run
from tests.conftest import Result

GEM = ('find-gem', 'lenet-300-100', 'digits', '--sparsity', '5', '-e', '6', '--set', 'algorithm.freeze_every=2 epochs')


def counts_of(lth, *more: str) -> list[int]:
    result = lth('find-gem', 'resnet20', 'cifar10', '--dry-run', '--json', *more)
    assert result.code == 0, result.err
    return [row['kept'] for row in json.loads(result.out)['rounds']]


def test_a_dry_run_prints_the_count_after_every_freeze_event_and_the_percentage_kept(lth, tmp_path):
    counts = counts_of(lth, '--sparsity', '0.59')
    assert (len(counts), counts[0], counts[-1]) == (30, 268_336, 1_580)
    message = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', '0.59', '--dry-run').err
    assert 'Keeps 1,580 of 268,336 weights (0.5888%), after 29 freeze events.' in ' '.join(message.split())
    assert not list(tmp_path.iterdir())


def test_sparsity_in_percent_and_density_as_a_share_are_the_same(lth):
    assert counts_of(lth, '--sparsity', '1.44') == counts_of(lth, '--density', '0.0144')


@pytest.mark.parametrize(('percent', 'message'), [
    ('3.72', ''), ('3', 'no published recipe for 3%: using the nearest, for 3.72%'),
    ('1', 'no published recipe for 1%: using the nearest, for 1.44%')])
def test_a_note_names_the_nearest_published_sparsity(lth, percent, message):
    result = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', percent, '--dry-run', '--json')
    assert message in result.err and ('Note' in result.err) == bool(message)


@pytest.mark.parametrize(('options', 'message'), [
    ((), 'Give either --sparsity'),
    (('--sparsity', '5', '--density', '0.05'), 'Both --sparsity and --density are given'),
    (('--sparsity', '0'), '--sparsity 0.0: give the percentage of weights to keep'),
    (('--sparsity', '101'), '--sparsity 101.0'), (('--density', '-0.1'), '--density -0.1'),
    (('--sparsity', '5', '-e', '5'), 'scores never freeze, as 5 epochs is not before the end of training, 5 epochs'),
    (('--sparsity', '5', '--set', 'algorithm.penalty=-1'), 'penalty: it should be greater than or equal to 0'),
    (('--sparsity', '5', '--set', 'algorithm.penlty=1'), "unknown key 'penlty', did you mean 'penalty'")])
def test_impossible_options_of_find_gem_are_errors(lth, tmp_path, options, message):
    result = lth('find-gem', 'lenet-300-100', 'digits', *options)
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert not list(tmp_path.iterdir())


def search(lth, name: str, *more: str) -> Result:
    result = lth(*GEM, '--run', name, *more)
    assert result.code == 0, result.err
    return result


def test_a_gem_is_saved_with_its_scores_finetuned_and_evaluated(lth):
    search(lth, 'gem', '--seeds', '0-1')
    gem = Path('runs/gem/seed-1/round-02')
    assert sorted(path.name for path in gem.iterdir()) == [
        'SHA256SUMS', 'mask.safetensors', 'metrics.jsonl', 'optimizer.safetensors', 'round.json',
        'scores.safetensors', 'ticket.safetensors', 'trained.safetensors']
    mask, weights, trained = (load_file(gem / f'{name}.safetensors') for name in ('mask', 'ticket', 'trained'))
    assert all((trained[name] == weights[name]).all() and (weights[name][~mask[name]] == 0).all() for name in mask)
    sizes = {round(float(size), 4) for size in weights['dense1.weight'].abs().unique()}
    assert sizes == {0., round((2 / 64) ** 0.5, 4)}
    result = lth('finetune', 'gem', '-e', '20', '--json')
    assert result.code == 0, result.err
    table = json.loads(result.out)
    assert table['run'] == 'runs/gem-finetuned-round-02' and table['seeds'] == [0, 1] and len(table['rounds']) == 1
    after = load_file('runs/gem-finetuned-round-02/seed-1/round-00/trained.safetensors')
    assert all((after[name][~mask[name]] == 0).all() and (after[name] != weights[name]).any() for name in mask)
    before = json.loads(lth('evaluate', 'gem', '--json').out)['evaluations']
    assert table['rounds'][0]['test_accuracy_percent']['mean'] > before[-1]['test_accuracy_percent']
    assert before[-1]['test_accuracy_percent'] == before[-1]['recorded_accuracy_percent']
    assert lth('evaluate', 'gem-finetuned-round-02').code == 0


def test_a_search_interrupted_after_a_freeze_event_is_resumed_byte_for_byte(lth, monkeypatch):
    search(lth, 'complete')
    save = Run.save

    def save_once(self, one, seeds):
        save(self, one, seeds)
        if one.number == 0:
            raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(runner.Run, 'save', save_once)
        assert lth(*GEM, '--run', 'interrupted').code == 130
    search(lth, 'interrupted')
    complete, resumed = Path('runs/complete/seed-0'), Path('runs/interrupted/seed-0')
    for path in complete.rglob('*.*'):
        assert path.is_dir() or path.read_bytes() == (resumed / path.relative_to(complete)).read_bytes()


@pytest.mark.parametrize('retrain', ['weight-rewinding', 'fine-tuning'])
def test_finetuning_a_ticket_repeats_its_training_in_the_search(lth, retrain):
    dropping = 'training.schedule={name: multistep, milestones: [1 epochs], factor: 0.01}'
    assert lth('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2', '--run', 'ticket', '--retrain', retrain,
               '--set', dropping, '--set', 'algorithm.rewind=5 iterations').code == 0
    for number in (0, 1):
        result = lth('finetune', f'ticket/seed-0/round-0{number}')
        assert result.code == 0, result.err
        finetuned, trained = (load_file(f'runs/{run}/trained.safetensors') for run in (
            f'ticket-finetuned-seed-0-round-0{number}/seed-0/round-00', f'ticket/seed-0/round-0{number}'))
        assert all((finetuned[name] == trained[name]).all() for name in trained)


def test_finetuning_a_missing_run_or_round_is_an_error(lth):
    assert 'is not a run' in lth('finetune', 'nowhere').err
    search(lth, 'gem')
    assert 'has no round 7 of all seeds [0]' in ' '.join(lth('finetune', 'gem', '--round', '7').err.split())
    assert '--round 1: the path of the run names round 0' in lth('finetune', 'gem/seed-0/round-00', '--round', '1').err
    shutil.rmtree('runs/gem/seed-0/round-02')
    result = lth('finetune', 'gem', '-e', '1')
    assert result.code == 2 and 'is not complete: it has 2 of 3 rounds' in ' '.join(result.err.split())
    assert lth('finetune', 'gem', '-e', '1', '--round', '1').code == 0 and Path('runs/gem-finetuned-round-01').is_dir()


def test_settings_that_finetuning_takes_from_its_source_cannot_be_set(lth):
    search(lth, 'gem')
    for setting in ('algorithm.round=0', 'algorithm.kept=5', 'algorithm={kept: 5}', 'algorithm=null',
                    'model={name: conv-2}', 'data.name=mnist'):
        for command in (('finetune', 'gem'), ('transfer', 'gem', '--to', 'digits'), ('sanity-check', 'gem')):
            result = lth(*command, '--set', setting)
            assert result.code == 2 and 'cannot be set, as its value comes from' in ' '.join(result.err.split())
    assert [path.name for path in Path('runs').iterdir()] == ['gem']


def test_finetuning_that_ends_before_the_ticket_starts_is_an_error(lth):
    rewound = ('-i', '1', '-e', '2', '--set', 'algorithm.rewind=1 epochs', '--run', 'late')
    assert lth('find-ticket', 'lenet-300-100', 'digits', *rewound).code == 0
    result = lth('finetune', 'late', '-e', '1')
    assert result.code == 2 and 'Nothing would be trained' in ' '.join(result.err.split())


def test_option_e_sets_the_length_of_finetuning_and_its_milestones(lth):
    def finetuning(*more: str) -> dict:
        result = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', '0.59', '--dry-run', '--json', *more)
        recipe: dict = json.loads(result.out)['recipe']['algorithm']['finetune']
        return recipe
    assert finetuning()['schedule']['milestones'] == ['80 epochs', '120 epochs']
    longer, other = finetuning('-e', '200'), finetuning('-e', '30')
    assert (longer['length'], longer['schedule']['milestones']) == ('200 epochs', ['100 epochs', '150 epochs'])
    assert (other['length'], other['schedule']['milestones']) == ('30 epochs', ['15 epochs', '20 epochs'])


def test_the_final_mask_is_that_of_the_published_sparsity_only(lth):
    def mask(percent: str) -> str:
        result = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', percent, '--dry-run', '--json')
        return str(json.loads(result.out)['recipe']['algorithm']['final_mask'])
    assert (mask('20'), mask('10')) == ('above-threshold', 'active')


@pytest.mark.parametrize('name', ['scores', 'optimizer'])
def test_a_search_without_scores_or_optimizer_state_is_not_resumed(lth, name):
    search(lth, 'gem')
    shutil.rmtree('runs/gem/seed-0/round-02')
    Path(f'runs/gem/seed-0/round-01/{name}.safetensors').unlink()
    result = lth(*GEM, '--run', 'gem')
    assert result.code == 2 and f'{name}.safetensors' in result.err
    assert 'lth repair runs/gem' in ' '.join(result.err.split())


def test_settings_missing_in_a_recipe_file_come_from_the_published_gem_recipe(lth):
    Path('mine.yaml').write_text('algorithm: {penalty: 2.e-4}\n')
    result = lth(
        'find-gem', 'resnet20', 'cifar10', '--sparsity', '0.59', '--recipe', 'mine.yaml', '--dry-run', '--json')
    recipe = json.loads(result.out)['recipe']
    assert recipe['algorithm']['penalty'] == 2e-4 and recipe['training']['length'] == '150 epochs'
    assert recipe['source'].startswith('mine.yaml over Sreenivasan et al. 2022')


@pytest.mark.parametrize(('algorithm', 'folder', 'rounds', 'kept'), [
    ('edge-popup', 'edge-popup-5', 2, 2510), ('global_edge_popup', 'global-edge-popup-5', 5, 2510),
    ('hypercube', 'hypercube-5', 2, 2510), ('supermask', 'supermask-5', 2, 2510), ('snip', 'snip-5', 1, 2510),
    ('GraSP', 'grasp-5', 1, 2510), ('synflow', 'synflow-5', 1, 2510),
    ('magnitude', 'magnitude-at-init-5', 1, 2510), ('smart-ratio', 'smart-ratio-5', 1, None),
    ('random', 'random-5', 1, 2510), ('gates', 'gates-5', 2, 2510), ('prospr', 'prospr-5', 1, 2510),
    *[pytest.param(name, f'{name}-5', 1, 2510, marks=pytest.mark.slow) for name in ('fisher', 'hutchinson', 'hts')]])
def test_every_algorithm_finds_a_gem_with_the_exact_count_that_can_be_finetuned(lth, algorithm, folder, rounds, kept):
    interval = ('--set', 'algorithm.shrink_every=1 epochs') if algorithm.startswith('global') else ()
    result = lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '5', '--algorithm', algorithm, '-e', '6',
                 '--finetune', '--json', *interval)
    assert result.code == 0, result.err
    runs = json.loads(result.out)
    assert runs['run'] == f'runs/lenet-300-100-digits-{folder}'
    assert runs['finetuned']['run'] == f'{runs["run"]}-finetuned-round-{rounds - 1:02d}'
    assert len(runs['rounds']) == rounds
    counts = [run['rounds'][-1]['kept'] for run in (runs, runs['finetuned'])]
    assert counts[0] == counts[1] == (kept or pytest.approx(2510, abs=3))
    assert f'{counts[0]:,}' in result.err
    gem, ticket = (load_file(f'{run["run"]}/seed-0/round-{len(run["rounds"]) - 1:02d}/ticket.safetensors')
                   for run in (runs, runs['finetuned']))
    assert all((gem[name] == ticket[name]).all() for name in gem)


def test_option_e_of_an_algorithm_without_training_is_the_length_of_finetuning(lth):
    result = lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '5', '--algorithm', 'snip', '-e', '30',
                 '--dry-run', '--json')
    recipe = json.loads(result.out)['recipe']
    assert recipe['training']['length'] == '30 epochs' and 'finetune' not in recipe['algorithm']
    assert recipe['training']['schedule']['milestones'] == ['15 epochs', '20 epochs']
    assert recipe['model']['initializer'] == 'kaiming-normal' and recipe['model'].get('norm') is None


def test_other_algorithms_finetune_with_the_settings_of_gem_miner(lth):
    recipes = [json.loads(lth('find-gem', 'resnet20', 'cifar10', '--sparsity', '50', '--algorithm', name, '--dry-run',
                              '--json').out)['recipe'] for name in ('gem-miner', 'edge-popup', 'supermask')]
    assert [one['algorithm']['finetune']['optimizer']['learning_rate'] for one in recipes] == [0.1, 0.1, 0.1]
    assert [one['training']['optimizer']['weight_decay'] for one in recipes] == [0., 5e-4, 0.]
    assert [one['model']['initializer'] for one in recipes] == [*['signed-constant'] * 2, 'glorot-signed-constant']
    assert recipes[2]['training']['optimizer']['learning_rate'] == 100. and recipes[1]['model'] == recipes[0]['model']


@pytest.mark.parametrize(('options', 'message'), [
    (('lenet-300-100', 'digits', '--sparsity', '5', '--algorithm', 'edgepop'), "did you mean 'edge-popup'"),
    (('lenet-300-100', 'digits', '--sparsity', '5', '--algorithm', 'gem-finder'), "did you mean 'gem-miner'"),
    (('lenet-300-100', '--sparsity', '5'), 'Give a MODEL and a DATASET'),
    (('lenet-300-100', 'digits', '--sparsity', '0.001', '--algorithm', 'edge-popup'),
     'the 3 layers, such as dense1.weight, needs one: give a density of at least 6e-05, 0.006% of the weights'),
    (('--config', 'nowhere.yml'), 'Cannot read nowhere.yml'), (('--config', 'list.yml'), 'list.yml'),
    (('--config', 'broken.yml'), 'not valid YAML'), (('--config', 'slip.yml'), "did you mean 'lmbda'"),
    (('--config', 'fine.yml', '--algorithm', 'snip'), 'The file of --config sets the algorithm'),
    (('--config', 'imp.yml', '--sparsity', '5'), 'imp.yml is for magnitude, which prunes in rounds'),
    (('lenet-300-100', 'digits', '--sparsity', '0.00005'), 'keeps 0 of 50200 weights'),
    (('lenet-300-100', 'digits', '--sparsity', '5', '-e', '4', '--algorithm', 'global-edge-popup', '--set',
      'algorithm.shrink_every=4 epochs'), 'the density never decreases, as 4 epochs is not before the end')])
def test_mistakes_in_algorithms_and_rare_gems_files_are_errors(lth, tmp_path, options, message):
    for name, text in (('list', '- algo: hc'), ('broken', 'algo: [hc'), ('slip', 'algo: hc_iter\nlamda: 1'),
                       ('fine', 'algo: hc_iter'), ('imp', 'algo: imp\narch: resnet20\ndataset: CIFAR10')):
        Path(f'{name}.yml').write_text(text)
    result = lth('find-gem', *options)
    assert result.code == 2 and message in ' '.join(result.err.split()), result.err
    assert not (tmp_path / 'runs').exists()


CONFIG = """
algo: hc_iter
arch: resnet20
dataset: CIFAR10
iter_period: 5
epochs: 150
optimizer: sgd
lr: 0.1
lr_policy: cosine_lr
target_sparsity: 0.59
unflag_before_finetune: True
regularization: L2
lmbda: 0.0001
seed: 7
"""
OPEN_CONFIG = CONFIG.replace('arch: resnet20\ndataset: CIFAR10\n', '')


def test_options_change_the_settings_of_a_rare_gems_file(lth):
    Path('rare-gems.yml').write_text(CONFIG)
    result = lth('find-gem', '--config', 'rare-gems.yml', '--dry-run', '--json')
    assert result.code == 0, result.err
    outline = json.loads(result.out)
    assert outline['rounds'][-1]['kept'] == 1_580 and 'Keeps 1,580 of 268,336 weights (0.5888%)' in result.err
    Path('open.yml').write_text(OPEN_CONFIG)
    over = json.loads(lth(
        'find-gem', 'lenet-300-100', 'digits', '--config', 'open.yml', '--sparsity', '5', '-e', '12',
        '--set', 'algorithm.penalty=0', '--dry-run', '--json').out)
    assert (over['model'], over['dataset'], over['rounds'][-1]['kept']) == ('lenet-300-100', 'digits', 2_509)
    assert over['recipe']['algorithm']['penalty'] == 0 and over['recipe']['algorithm']['freeze_every'] == '5 epochs'


def test_seeds_come_from_the_rare_gems_file_unless_given(lth):
    Path('rare-gems.yml').write_text(OPEN_CONFIG)

    def seeds_of(*more: str) -> list[int]:
        result = lth('find-gem', 'lenet-300-100', 'digits', '--config', 'rare-gems.yml', '--sparsity', '5', '-e', '6',
                     '--json', *more)
        assert result.code == 0, result.err
        seeds: list[int] = json.loads(result.out)['seeds']
        return seeds
    assert (seeds_of('--run', 'from-file'), seeds_of('--seeds', '1', '--run', 'given')) == ([7], [1])


def test_evaluate_shows_scores_weights_above_the_threshold_and_accuracy_before_and_after_finetuning(lth):
    search(lth, 'gem')
    assert lth('finetune', 'gem', '-e', '20').code == 0
    shown = json.loads(lth('evaluate', 'gem', '--json').out)
    first, last = shown['evaluations'][0], shown['evaluations'][-1]
    assert first['scores']['active'] == first['kept'] > first['scores']['above_threshold'] > 0
    assert sum(layer['above_threshold'] for layer in first['layers']) == first['scores']['above_threshold']
    assert last['scores']['above_threshold'] == last['kept'] == last['scores']['active']
    quartiles = [first['scores'][name] for name in (
        'minimum', 'lower_quartile', 'median', 'upper_quartile', 'maximum')]
    assert quartiles == sorted(quartiles) and 0 <= quartiles[0] and quartiles[-1] <= 1
    scores, mask = (load_file(f'runs/gem/seed-0/round-00/{name}.safetensors') for name in ('scores', 'mask'))
    assert first['scores']['above_threshold'] == sum(int((scores[name] > 0.5).sum()) for name in mask)
    after = shown['finetuned'][0]
    assert after['run'] == 'runs/gem-finetuned-round-02'
    assert after['evaluations'][0]['test_accuracy_percent'] > last['test_accuracy_percent']
    text = lth('evaluate', 'gem').out
    assert 'before and after finetuning' in text and 'above threshold' in text and 'runs/gem-finetuned-round-02' in text
    assert 'Scores' not in lth('evaluate', 'gem-finetuned-round-02').out


def test_a_gem_is_finetuned_with_another_optimizer_batch_size_and_data_set(lth):
    search(lth, 'gem')
    Path('images.py').write_text(USER_DATA)

    def recipe(*more: str) -> dict:
        result = lth('finetune', 'gem', '-e', '1', '--dry-run', '--json', *more)
        assert result.code == 0, result.err
        settings: dict = json.loads(result.out)['recipe']
        return settings
    assert recipe('--optimizer', 'adam')['training']['optimizer'] == {
        'name': 'adam', 'learning_rate': 1e-3, 'betas': [0.9, 0.999], 'epsilon': 1e-8, 'weight_decay': 0.}
    assert recipe('--optimizer', 'adam', '-l', '0.02')['training']['optimizer']['learning_rate'] == 0.02
    assert recipe('--set', 'training.optimizer.name=adam', '-l', '0.02')['training']['optimizer'][
        'learning_rate'] == 0.02
    assert recipe('-b', '16')['training']['batch_size'] == 16
    result = lth('finetune', 'gem', '-e', '2', '--dataset', 'images.py:seven')
    assert result.code == 0, result.err
    note = 'classes differ (10 / 7), so the output layer is re-initialized, dense: output.weight, output.bias'
    assert note in result.err
    gem, there = (load_file(f'runs/{run}/ticket.safetensors') for run in (
        'gem/seed-0/round-02', 'gem-finetuned-images.py-seven-round-02/seed-0/round-00'))
    assert (gem['dense1.weight'] == there['dense1.weight']).all() and there['output.weight'].shape == (7, 100)
    old, new = (load_file(f'runs/{run}/mask.safetensors') for run in (
        'gem/seed-0/round-02', 'gem-finetuned-images.py-seven-round-02/seed-0/round-00'))
    assert new['output.weight'].all() and not old['output.weight'].all()
    kept = sum(int(old[name].sum()) for name in ('dense1.weight', 'dense2.weight')) + 700
    assert f'kept: {kept}\n' in Path('runs/gem-finetuned-images.py-seven-round-02/recipe.yaml').read_text()
    wrong = lth('finetune', 'gem', '--dataset', 'images.py:large')
    assert wrong.code == 2
    assert 'A ticket for images of 1×8×8 does not fit images of 1×9×9: dense1.weight is 300×64 in the' in wrong.err


USER_DATA = """
import torch
def random_images(side, classes):
    labels = torch.arange(700) % classes
    images = torch.randint(0, 256, (700, 1, side, side), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return (images, labels), (images[:70], labels[:70])
def seven():
    return random_images(8, 7)
def large():
    return random_images(9, 7)
"""


def test_finetuning_is_resumed_from_another_working_directory(lth, tmp_path, monkeypatch):
    search(lth, 'gem', '--seeds', '0')
    assert lth('finetune', 'gem', '-e', '1').code == 0
    shutil.rmtree('runs/gem-finetuned-round-02/seed-0/round-00')
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    result = lth('finetune', '../runs/gem', '-e', '1')
    assert result.code == 0 and (tmp_path / 'runs/gem-finetuned-round-02/seed-0/round-00').is_dir()


def test_metrics_of_the_last_round_of_a_gem_have_one_line_per_iteration(lth):
    search(lth, 'gem')
    lines = Path('runs/gem/seed-0/round-02/metrics.jsonl').read_text().splitlines()
    iterations = [json.loads(line)['iteration'] for line in lines]
    assert len(set(iterations)) == len(iterations)


def test_option_e_does_not_change_a_schedule_without_milestones(lth):
    result = lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '5', '-e', '20', '--set',
                 'algorithm.finetune.schedule.name=cosine', '--dry-run', '--json')
    assert json.loads(result.out)['recipe']['algorithm']['finetune']['schedule']['name'] == 'cosine'
    Path('rare-gems.yml').write_text(CONFIG + 'fine_tune_lr_policy: cosine_lr\n')
    result = lth('find-gem', '--config', 'rare-gems.yml', '-e', '20', '--dry-run', '--json')
    finetuned = json.loads(result.out)['recipe']['algorithm']['finetune']
    assert (finetuned['schedule']['name'], finetuned['length']) == ('cosine', '20 epochs')


def test_model_and_data_set_next_to_a_rare_gems_file_must_be_those_of_the_file(lth):
    Path('rare-gems.yml').write_text(CONFIG)
    same = lth('find-gem', 'resnet-20', 'cifar-10', '--config', 'rare-gems.yml', '-b', '32', '--dry-run')
    assert same.code == 0
    note = 'options replace these settings of rare-gems.yml: training.batch_size'
    assert note in ' '.join(f'{same.out} {same.err}'.split())
    for pair, message in (
            (('vgg16', 'cifar10'), "MODEL is 'vgg16', but the key arch of rare-gems.yml means 'resnet20'"),
            (('resnet20', 'mnist'), "DATASET is 'mnist', but the key dataset of rare-gems.yml means")):
        result = lth('find-gem', *pair, '--config', 'rare-gems.yml', '--dry-run')
        assert result.code == 2 and message in ' '.join(result.err.split())


def test_the_initializer_of_a_rare_gems_file_is_used_for_a_model_of_lth(lth):
    Path('rare-gems.yml').write_text(OPEN_CONFIG + 'init: signed_constant\n')
    recipe = json.loads(lth('find-gem', 'lenet-300-100', 'mnist', '--config', 'rare-gems.yml', '--sparsity', '5',
                            '--dry-run', '--json').out)['recipe']
    assert recipe['model']['initializer'] == 'signed-constant' and 'shortcut' not in recipe['model']
    assert recipe['data']['name'] == 'mnist' and not recipe['data']['flip'] and recipe['data']['crop'] == 0


def test_edge_popup_is_trained_with_its_published_settings(lth):
    def recipe(model: str, algorithm: str, percent: str) -> dict:
        result = lth('find-gem', model, 'cifar10', '--sparsity', percent, '--algorithm', algorithm, '--dry-run',
                     '--json')
        settings: dict = json.loads(result.out)['recipe']
        return settings
    assert recipe('vgg16', 'edge-popup', '1.4')['training']['optimizer'] == {
        'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9, 'nesterov': False, 'weight_decay': 5e-4}
    assert recipe('resnet20', 'hypercube', '50')['algorithm']['penalty'] == 1e-8


@pytest.mark.parametrize('more', [('hypercube', '--set', 'algorithm.rounding=at-end'), ('supermask',)])
def test_every_saved_round_of_a_gem_has_the_recorded_accuracy(lth, more):
    assert lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '5', '-e', '4', '--set',
               'algorithm.save_every=2 epochs', '--run', 'gem', '--algorithm', *more).code == 0
    result = lth('evaluate', 'gem')
    assert result.code == 0 and 'recorded' not in result.err


def test_gates_report_how_many_are_open_without_the_requested_count(lth):
    command = ('find-gem', 'lenet-300-100', 'digits', '--sparsity', '20', '-e', '4', '--run', 'gem', '--algorithm',
               'gates', '--set', 'algorithm.save_every=2 epochs')
    result = lth(*command)
    assert result.code == 0, result.err
    before, last = (row['seeds'][0] for row in json.loads(lth(*command, '--json').out)['rounds'])
    assert 0 < last['selected_weights'] <= 50_200 and last['kept'] == 10_040 and before['kept'] == 50_200
    count = last['selected_weights']
    assert f'before the requested number is kept: {count:,} of 50,200 ({count / 50_200:.2%})' in ' '.join(
        result.out.split())
    measured = json.loads(lth('evaluate', 'gem', '--json').out)['evaluations']
    assert [one['scores']['selected_weights'] for one in measured] == [before['selected_weights'], count]
    assert 'selected' in lth('evaluate', 'gem').out


@pytest.mark.parametrize(('percent', 'more', 'start'), [
    ('3.72', (), 3e-5), ('0.59', (), 1e-4), ('3.72', ('--set', 'algorithm.start_penalty=0.5'), 0.5)])
def test_an_adapted_penalty_starts_at_the_published_one(lth, percent, more, start):
    result = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', percent, '--set', 'algorithm.penalty=auto', *more,
                 '--dry-run', '--json')
    assert result.code == 0, result.err
    algorithm = json.loads(result.out)['recipe']['algorithm']
    assert (algorithm['penalty'], algorithm['start_penalty'], algorithm['final_epochs']) == ('auto', start, None)


def test_an_adapted_penalty_cannot_start_at_a_published_penalty_of_0(lth):
    result = lth(
        'find-gem', 'mobilenet-v2', 'cifar10', '--sparsity', '50', '--set', 'algorithm.penalty=auto', '--dry-run')
    assert result.code == 2 and 'algorithm: start_penalty: it should be greater than 0' in ' '.join(result.err.split())


def test_evaluate_shows_the_adapted_penalty_of_each_round(lth):
    assert lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '20', '-e', '4', '--run', 'gem', '--set',
               'algorithm.penalty=auto', '--set', 'algorithm.freeze_every=1 epochs', '--set',
               'algorithm.final_epochs=2').code == 0
    scores = [one['scores'] for one in json.loads(lth('evaluate', 'gem', '--json').out)['evaluations']]
    assert [one['penalty'] for one in scores][::2] == [1e-4, 0] and len(scores) == 3 and 0 < scores[1]['penalty'] < 0.01
    assert 'penalty' in lth('evaluate', 'gem').out


def test_a_supermask_reports_the_accuracy_of_sampled_masks(lth):
    command = ('find-gem', 'lenet-300-100', 'digits', '--sparsity', '20', '-e', '4', '--run', 'gem', '--algorithm',
               'supermask', '--set', 'algorithm.save_every=2 epochs')
    result = lth(*command)
    assert result.code == 0, result.err
    before, last = json.loads(lth(*command, '--json').out)['rounds']
    drawn = last['seeds'][0]['sampled_masks_accuracy_percent']
    assert before['seeds'][0]['sampled_masks_accuracy_percent'] is None and 0 < drawn < 100
    assert f'Masks sampled from the scores, mean of 10 for each seed: test % {drawn:.2f}' in result.out
    measured = json.loads(lth('evaluate', 'gem', '--json').out)['evaluations']
    scores = [one['scores']['sampled_masks_accuracy_percent'] for one in measured]
    assert scores == [None, drawn]
    trained = Path('runs/gem/seed-0/round-01/trained.safetensors').read_bytes()
    shutil.rmtree('runs/gem/seed-0/round-01')
    assert lth(*command).code == 0 and Path('runs/gem/seed-0/round-01/trained.safetensors').read_bytes() == trained


def test_evaluate_ignores_other_folders_next_to_the_run(lth):
    search(lth, 'gem', '--seeds', '0')
    for name, text in (('list', '- 1'), ('word', 'algorithm: nothing')):
        Path(f'runs/{name}').mkdir()
        Path(f'runs/{name}/recipe.yaml').write_text(text)
    assert lth('evaluate', 'gem').code == 0


def test_milestones_of_finetuning_are_after_the_start_of_training():
    assert [finetuning_milestones(epochs) for epochs in (1, 2, 3, 150)] == [[], [1], [1, 2], [80, 120]]
