"""Train the runs of sanity checks one after another, and write the report next to them."""
from collections.abc import Callable, Sequence
from dataclasses import replace

from lth.analysis import checks_file, json_output, sanity_report
from lth.analysis.sanity_checks import CheckRun
from lth.analysis.sanity_report import SanityReport
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments import runner
from lth.experiments.open_run import SourceRound
from lth.experiments.reporter import OpenReporter
from lth.experiments.run_target import RunTarget, supported_target
from lth.experiments.thinning import Keep, thin_runs
from lth.pruning.controls import STANDARDS
from lth.runs.folder import Run


def run_checks(
        checks: Sequence[CheckRun], source: SourceRound, target: RunTarget, open_reporter: OpenReporter,
        on_message: Callable[[str], None], *, keep: Keep = 'all') -> SanityReport:
    """Train what the runs of the checks lack, write FOLDER/checks.json, and return its content. In the end, remove the
    weights of their searches that `keep` does not name.

    A check whose run fails, such as a search that prunes a layer completely, is left out with a message. LthError if
    the original or the dense network fails, or if memory runs out. `target.folder` is the folder of all checks.
    """

    runs: dict[str, Run] = {}
    failed: set[str] = set()
    for number, check in enumerate(checks, 1):
        if check.check in failed:
            continue
        on_message(f'Step {number} of {len(checks)}: {check.what}')
        check_target = supported_target(check.plan, replace(target, folder=check.folder))
        try:
            with open_reporter(check.plan, source.seeds) as reporter:
                runs[check.what] = runner.run_plan(check.plan, check_target, source.seeds, reporter)
        except LthError as error:
            if _is_needed(check, error):
                raise
            failed.add(check.check)
            on_message(f'Note: {check.what} failed, so the check {check.check} is left out: {error}')
    names = [check.check for check in checks if check.what == check.check and check.check in runs]
    report = sanity_report.make_report(source, [name for name in names if name not in STANDARDS], runs.__getitem__)
    checks_file.write_checks(target.folder, json_output.values.as_dict(sanity_report.output(report, source)))
    thin_runs(runs.values(), source.seeds, keep)
    return report


def _is_needed(check: CheckRun, error: LthError) -> bool:
    """Whether the other checks make no sense without this one, or would fail in the same way."""

    return check.check in STANDARDS or error.exit_code == ENVIRONMENT_ERROR
