"""A family that trains in no time, and an experiment of two of its variants."""

import json

import numpy as np
import pytest
from competition_folder import write_competition_folder

from cellflow.data.folds import read_folds
from cellflow.errors import ConfigError, TrainingDiverged
from cellflow.experiments import families
from cellflow.experiments.bench import open_bench
from cellflow.experiments.family import Family, changed
from cellflow.experiments.plan import read_experiment
from cellflow.records import Prediction
from cellflow.training.trained import Trained


class ThresholdFamily(Family):
    """Cells are what is brighter than ``dynamics.cellprob_threshold``; training notes its seed."""

    OPTIONS = ("fails_on_fold", "diverges_on_fold", "pretrain_dir")

    def __init__(self):
        self.trained, self.predicted = [], []

    def check(self, options, config, predict):
        if config.training.optimizer == "radam":
            raise ConfigError("thresholds have no radam")

    def n_steps(self, options, config, n_images):
        return 10 * n_images

    def train(self, job, report, say):
        if job.options.get("fails_on_fold") == job.fold:
            raise KeyboardInterrupt
        if job.options.get("diverges_on_fold") == job.fold:
            raise TrainingDiverged("the loss is no longer finite")
        done = job.folder / "done.json"
        if not done.exists():
            self.trained.append((job.config.training.seed, job.fold))
            assert set(read_folds(job.folds_file).folds[job.fold].train) == {
                entry.name for entry in job.train_entries
            }
            job.folder.mkdir(parents=True)
            done.write_text(json.dumps([entry.name for entry in job.train_entries]))
        curve = ((5, 1.0, 0.2), (10, 2.0, 0.4))
        return Trained(
            n_steps=10, n_parameters=1, seconds=6.0, device="cpu", curve=curve, versions={}
        )

    def predict(self, job, changes):
        threshold = changed(job.config, changes).dynamics.cellprob_threshold
        for entry in job.held_out:
            assert entry.name not in json.loads((job.folder / "done.json").read_text())
            self.predicted.append(entry.name)
            labels = (entry.load().image > threshold).astype(np.int32)
            scores = np.ones(int(labels.max()), np.float32)
            yield Prediction(name=entry.name, labels=labels, scores=scores)


@pytest.fixture
def family(monkeypatch):
    made = ThresholdFamily()
    monkeypatch.setitem(families.FAMILIES, "threshold", made)
    return made


@pytest.fixture
def write_squares():
    """Write images of one bright square each: ``write_squares(folder, 6)`` gives the folder."""

    def make(folder, n, first=0):
        images = []
        for k in range(n):
            labels = np.zeros((12, 12), np.int32)
            labels[2:8, 2 : 5 + k] = 1
            image = 100 * labels + 20 + first
            image[10, k] = 60
            metadata = {"cell_type": "cort" if k % 2 else "astro"}
            images.append((f"im{first + k}", image, labels, metadata))
        return write_competition_folder(folder, images)

    return make


@pytest.fixture
def data(tmp_path, write_squares):
    """Six images of one bright square each, three of either cell type."""
    return write_squares(tmp_path / "data", 6)


TWO_VARIANTS = """
name = "thresholds"
folds = 3
seeds = {seeds}
[base]
family = "threshold"
[[variant]]
name = "between"
[variant.predict.dynamics]
cellprob_threshold = 80.0
[[variant]]
name = "too low"
[variant.predict.dynamics]
cellprob_threshold = 50.0
"""


@pytest.fixture
def experiment(tmp_path):
    """Write the file for some seeds: ``experiment([0, 1])``."""

    def make(seeds, text=TWO_VARIANTS, **changes):
        path = tmp_path / "thresholds.toml"
        path.write_text(text.replace("{seeds}", str(list(seeds))))
        return read_experiment(path, **changes)

    return make


@pytest.fixture
def bench(tmp_path, data):
    """Open data and store: ``bench(experiment)``."""
    return lambda experiment: open_bench(experiment, data, tmp_path / "store")
