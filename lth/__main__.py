"""`python -m lth` and `lth`."""
import os
import sys


def main() -> None:
    """The command line."""

    # Before torch is imported: threads that spin while they wait cost 4-40 times on a busy machine.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    # The user's code is found in the current folder, as with `python -m lth`.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    from lth.cli import app  # pylint: disable=import-outside-toplevel # after the line above
    app()


if __name__ == '__main__':
    main()
