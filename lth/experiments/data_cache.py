"""The images that a process read last, for the next run that needs the same."""
import json
from pathlib import Path

import torch

from lth.datasets import DATASETS, Dataset
from lth.experiments.plan import Plan


class DataCache:
    """Keeps one data set of lth in memory. Data of plug-ins and users are read each time, as their code or files may
    have changed.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._data: Dataset | None = None

    def load(self, plan: Plan, datasets: Path, device: torch.device) -> Dataset:
        """See Plan.load."""

        key = datasets.resolve(), str(device), json.dumps(plan.recipe.data.model_dump(mode='json'), sort_keys=True)
        if self._data is None or key != self._key:
            self._key = self._data = None  # the old images may be as large as the new ones
            data = plan.load(datasets, device)
            if ':' in plan.recipe.data.name or not DATASETS.is_builtin(plan.recipe.data.name):
                return data
            self._key, self._data = key, data
        return self._data
