"""The answer of a run in words, below its table."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth.cli.console import print_line, print_text

if TYPE_CHECKING:
    from lth.analysis.answers.answer import Answer


def print_answers(answers: Sequence['Answer']) -> None:
    """Print what each run says, a sentence a line, and the commands to type next."""

    for answer in answers:
        if answer.sentences:
            print_line('')
        for sentence in answer.sentences:
            print_text(sentence)
    commands = list(dict.fromkeys(command for answer in answers for command in answer.next_commands))
    if commands:
        print_line('Next:')
    for command in commands:
        print_line(f'  {command}')
