"""`python -m lth` and `lth`."""
import os


def main() -> None:
    """The command line."""

    # Before torch is imported: threads that spin while they wait cost 4-40 times on a busy machine.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    from lth.cli import app  # pylint: disable=import-outside-toplevel # after the line above
    app()


if __name__ == '__main__':
    main()
