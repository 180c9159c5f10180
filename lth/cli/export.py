"""`lth export`: one network of a run for use without lth."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth import analysis, experiments, exports
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_note
from lth.cli.data_dir import accepts_data_dir
from lth.cli.option_values import whole_number
from lth.cli.options import Datasets, Json, Threads
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.exports.export import Export


@command
@accepts_data_dir
@accepts_trust_code
def export(
        run: Annotated[str, typer.Argument(
            metavar='RUN', show_default=False, help='One round of a run: RUN/seed-S/round-NN.')],
        datasets: Datasets = Path('datasets'),
        *,
        export_format: Annotated[str, typer.Option(
            '--format', metavar='FORMAT', show_default=False,
            help='torch, onnx, compacted, csr, or one of a plug-in: see `lth list formats`.')],
        weights: Annotated[Literal['trained', 'ticket'], typer.Option(
            '--weights', help='The weights after the training of the round, or those before it, of the ticket.')
        ] = 'trained',
        output: Annotated[Path | None, typer.Option(
            '-o', '--output', metavar='FOLDER', show_default=False,
            help='The folder to create. Default: RUN-exports/seed-S-round-NN-FORMAT, next to the run.')] = None,
        images: Annotated[int, typer.Option(
            '--images', parser=whole_number(smallest=1, largest=100_000), metavar='N',
            help='Number of test images on which the export is compared with the network.')] = 1_000,
        threads: Threads = 1,
        as_json: Json = False,
) -> None:
    """Export the network of one round for use without lth, and check that it computes the same.

    torch: the state_dict of the ordinary module, with pruned weights at 0. onnx: a graph for onnxruntime; it needs the
    extra onnx. compacted: a smaller network without units and channels that carry nothing, as a Python file that needs
    torch only. csr: the weights of dense layers as sparse matrices.

    The files are loaded again and compared with the network on test images, and the latency of both is measured in
    turns on the CPU. The folder is written only if both compute the same; its README.txt says how to use it.

    [bold]Examples[/bold]

        lth export lenet-300-100-mnist/seed-0/round-07 --format compacted

        lth export conv-2-cifar10/seed-0/round-05 --format onnx -o conv-2-onnx
    """

    path = parse_run_path(run)
    target = experiments.run_target.RunTarget(path.folder, datasets, 'cpu', threads)
    result = exports.export.export_round(path, export_format, weights, output, target, images=images)
    for note in result.notes:
        print_note(note)
    if as_json:
        print_json(analysis.json_output.exports.ExportReport.of(result))
        return
    _print(result)


def _print(result: 'Export') -> None:
    """Print what was written, checked and measured."""

    words = exports.description
    print_line(f'{result.folder}: {", ".join(result.exported.files)}')
    print_line(f'Size: {words.size_in_words(result.size, result.dense_size)}')
    print_line(f'Same function: {words.check_in_words(result)}')
    print_line(f'Latency, {words.threads_in_words(result.threads)}, medians in turns with the dense network:')
    for latency in result.latencies:
        print_line(f'  {words.latency_in_words(latency)}')
