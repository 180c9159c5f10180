"""The choices of the last session of a run, which a resumed run keeps."""
from dataclasses import dataclass
from typing import cast, get_args

import torch

from lth.runs.folder import Run
from lth.system.yaml_text import Raw
from lth.training.engines.names import CompileDecision, EngineChoice, ReplicateChoice, engine_choice


def last_session(run: Run) -> 'LastSession':
    """The last session of a run."""

    return LastSession((run.sessions() or [{}])[-1])


@dataclass(frozen=True)
class LastSession:
    """The entry of the last session of a run; it is empty before the first."""

    entry: Raw

    @property
    def engine(self) -> EngineChoice | None:
        """The chosen engine, None before the first session."""

        if not self.entry:
            return None
        # Versions that recorded no choice had only the eager engine on a CPU.
        default = 'eager' if self.entry.get('device') == 'cpu' else 'auto'
        return engine_choice(self.entry.get('choice') or default)

    @property
    def deterministic(self) -> bool:
        """Whether it let results repeat bit for bit on a GPU; False before the first session."""

        return bool(self.entry.get('deterministic'))

    @property
    def sync_batch_norm(self) -> bool:
        """Whether its ranks normalized over the complete batch; False before the first session."""

        return bool(self.entry.get('sync_batch_norm'))

    @property
    def replicates(self) -> ReplicateChoice | None:
        """How it trained several convolutional networks at once; None before the first session."""

        choice = self.entry.get('replicates')
        return cast(ReplicateChoice, choice) if choice in get_args(ReplicateChoice) else None

    def compile_decision(self, device: torch.device) -> CompileDecision | None:
        """Whether it compiled the network; None before the first session, and if it used another device."""

        decision = self.entry.get('compile')
        same = str(self.entry.get('device', 'cpu')).split(':', maxsplit=1)[0] == device.type
        return cast(CompileDecision, decision) if same and decision in get_args(CompileDecision) else None
