"""A real Slurm cluster of one node on this machine: its daemons in a temporary folder, which end with the tests.

It needs Debian's slurmctld, slurmd, slurm-client and munge, and root. Without them the tests are skipped, or fail if
LTH_REQUIRE_SLURM is set. The partition `low` is preempted by jobs of `high`, which requeues its jobs.
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'srun', 'squeue', 'scontrol', 'sinfo', 'scancel')
# Any number of CPUs and any memory may be configured with config_overrides; processes are killed by the memory that
# they use, which is looked at each second.
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=1,sched_min_interval=100000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=10
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=DEFAULT Nodes={host} State=UP MaxTime=1-00:00:00 DefMemPerCPU=2000
PartitionName=low Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName=polite PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high PriorityTier=10 PreemptMode=OFF
"""


class SlurmCluster:
    """The commands of a running cluster."""

    def __init__(self, configuration: Path) -> None:
        self.configuration = configuration

    def run(self, *command: str) -> str:
        """What a command of Slurm prints."""

        return subprocess.run(command, env=self.environment(), check=True, capture_output=True, text=True,
                              timeout=60).stdout

    def environment(self) -> dict[str, str]:
        """The variables with which programs find this cluster."""

        return os.environ | {'SLURM_CONF': str(self.configuration)}

    def states(self) -> dict[str, str]:
        """The state of each job that Slurm remembers, by its number."""

        lines = self.run('squeue', '--states=all', '-h', '-r', '-o', '%i %T').splitlines()
        return dict(line.split() for line in lines)

    def wait_for_state(self, job: str, state: str, *, seconds: float = 120) -> None:
        """Wait until a job is in this state."""

        end = time.monotonic() + seconds
        while (now := self.states().get(job)) != state:
            assert time.monotonic() < end, f'job {job} is {now} after {seconds} s, not {state}'
            time.sleep(0.2)

    def preempt(self, *jobs: str) -> None:
        """Let a job of the partition `high` take the node, which requeues the jobs, then let them start again now
        instead of two minutes later.
        """

        self.run('srun', '-p', 'high', '-n2', '--mem=100M', 'sleep', '1')
        for job in jobs:
            self.wait_for_state(job, 'PENDING')
            self.run('scontrol', 'update', f'JobId={job}', 'StartTime=now')


@pytest.fixture(scope='session')
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster that runs as long as the tests of this process."""

    _require_programs()
    # Sockets have short paths.
    folder = Path(tempfile.mkdtemp(prefix='lth-slurm-', dir='/tmp'))
    try:
        _start_daemons(folder)
        yield SlurmCluster(folder / 'slurm.conf')
    finally:
        for name in ('slurmctld', 'slurmd', 'munged'):
            _end_daemon(folder / f'{name}.pid')
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(slurm_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A cluster without jobs, which this process and its children use."""

    monkeypatch.setenv('SLURM_CONF', str(slurm_cluster.configuration))
    yield slurm_cluster
    slurm_cluster.run('scancel', '--user=root', '--signal=KILL')
    slurm_cluster.run('scancel', '--user=root')


def _require_programs() -> None:
    """Skip the test where there is no Slurm, or fail."""

    reason = ''
    if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
        reason = (f'{", ".join(missing)} are not installed: apt-get install --no-install-recommends slurmctld slurmd '
                  'slurm-client munge')
    elif os.geteuid() != 0:
        reason = 'the daemons of Slurm need root'
    if reason and os.environ.get('LTH_REQUIRE_SLURM'):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def _start_daemons(folder: Path) -> None:
    for name in ('state', 'spool'):
        (folder / name).mkdir()
    controller_port, node_port = _free_ports()
    host = socket.gethostname().split('.', maxsplit=1)[0]
    (folder / 'slurm.conf').write_text(_CONFIGURATION.format(
        host=host, folder=folder, controller_port=controller_port, node_port=node_port))
    key = folder / 'munge.key'
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    munge = [f'--{name}={folder}/munge.{end}' for name, end in (
        ('key-file', 'key'), ('socket', 'socket'), ('log-file', 'log'), ('seed-file', 'seed'))]
    environment = os.environ | {'SLURM_CONF': f'{folder}/slurm.conf'}
    # --force: /tmp is writable by everybody.
    for command in (['munged', '--force', f'--pid-file={folder}/munged.pid', *munge], ['slurmctld'], ['slurmd']):
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    _wait_for_node(environment, folder)


def _wait_for_node(environment: dict[str, str], folder: Path) -> None:
    end = time.monotonic() + 60
    while True:
        found = subprocess.run(['sinfo', '-h', '-p', 'low', '-o', '%T'], env=environment, check=False,
                               capture_output=True, text=True, timeout=60)
        if found.stdout.strip() == 'idle':
            return
        log = (folder / 'slurmctld.log').read_text()[-2000:]
        assert time.monotonic() < end, f'the node is {found.stdout} {found.stderr}\n{log}'
        time.sleep(0.2)


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as sockets:
        opened = [sockets.enter_context(socket.socket()) for _ in range(2)]
        for one in opened:
            one.bind(('127.0.0.1', 0))
        return [one.getsockname()[1] for one in opened]


def _end_daemon(pid_file: Path) -> None:
    """End the daemon, and wait until it has ended."""

    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        process = int(pid_file.read_text())
        os.kill(process, signal.SIGTERM)
        for _ in range(100):
            os.kill(process, 0)
            time.sleep(0.1)
        os.kill(process, signal.SIGKILL)
