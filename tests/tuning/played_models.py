"""Model folders whose networks are played by the truth, made wrong in a known way."""

from dataclasses import replace

import numpy as np
import torch
from competition_folder import write_competition_folder

from cellflow.config import Config, NetworkConfig, TuningConfig
from cellflow.data.entrance import open_dataset
from cellflow.dynamics.boundary import shift_boundaries
from cellflow.network.cpnet import build_network
from cellflow.network.model_folder import read_model_folder, write_model_folder
from cellflow.records import FlowField
from cellflow.targets.flows import labels_to_flows
from cellflow.training.survey import fingerprint, survey_images
from cellflow.tuning import tune as room

CONFIG = replace(
    Config(),
    network=NetworkConfig(channels_per_level=(4, 8), diam_mean=12.0),
    tuning=TuningConfig(
        cellprob_thresholds=(-1.0, 0.0),
        flow_thresholds=(0.4, 0.0),
        min_sizes=(15, 40, 80),
        score_thresholds=(0.0, 0.5),
        boundary_shifts=(-2.0, -1.0, 0.0, 1.0, 2.0),
        n_folds=4,
        n_inner_folds=3,
    ),
)


def draw_truth(rng, kind):
    """Separate discs, 12 px wide; they are the image's grey levels as well."""
    labels = np.zeros((100, 120), np.int32)
    y, x = np.mgrid[:100, :120]
    for k in range(20):
        row, column = 12 + 25 * (k // 5), 12 + 24 * (k % 5)
        labels[(y - row) ** 2 + (x - column) ** 2 < rng.uniform(5, 7) ** 2] = k + 1
    # The upper left pixel tells the type, and no two images are the same.
    image = (labels + 100).astype(np.uint8)
    image[0, 0] = {"astro": 10, "cort": 20}[kind]
    image[99] = rng.integers(0, 255, 120)
    return image, labels


class PlayedModel:
    """Sees astro cells 1 px too large, and specks that are none; cort as they are."""

    def __init__(self, config):
        self.config, self.diameter, self.diam_mean = config, 12.0, 12.0
        self.dtypes, self.is_settled, self.n_looks = ("torch.float32",), True, 0

    def find_diameter(self, image):
        return None

    def sizes(self, diameter):
        return diameter or self.diameter, self.diam_mean

    def style_of(self, image):
        return self.flow_field(image).style

    def flow_field(self, image, diameter=None):
        self.n_looks += 1
        labels = np.where(image >= 100, image.astype(np.int32) - 100, 0)
        labels[99] = 0
        rng = np.random.default_rng(int(image[99].sum()))
        is_astro = image[0, 0] == 10
        if is_astro:
            labels = shift_boundaries(labels, np.zeros(labels.shape), 1.0)
            for k in range(6):
                row, column = rng.integers(0, 92, 2)
                if not labels[row : row + 6, column : column + 6].any():
                    labels[row : row + 6, column : column + 6] = 100 + k
        flows = labels_to_flows(labels) + rng.normal(0, 0.05, (2, *labels.shape))
        cellprob = np.where(labels > 0, 3.0, -3.0) + rng.normal(0, 0.3, labels.shape)
        cellprob[labels >= 100] -= 1.0
        style = np.zeros(8, np.float32)
        style[int(is_astro)] = 1.0
        style += rng.normal(0, 0.02, 8).astype(np.float32)
        return FlowField(
            flows=flows.astype(np.float32), cellprob=cellprob.astype(np.float32), style=style
        )


def write_images(folder):
    """Write a competition folder of 16 images of each type; gives its path."""
    rng = np.random.default_rng(0)
    images = []
    for k in range(32):
        kind = ["astro", "cort"][k % 2]
        images.append((f"i{k:02d}", *draw_truth(rng, kind), {"cell_type": kind}))
    return write_competition_folder(folder / "data", images)


class Played:
    """Writes model folders that hold some images out: ``played("m", range(16))``."""

    def __init__(self, folder, data, monkeypatch):
        self.folder, self.data, self.models = folder, data, {}
        monkeypatch.setattr(room, "load_model", self.load)

    def load(self, path, *, device, change):
        config = change(read_model_folder(path).config)
        model = self.models.setdefault(path, PlayedModel(config))
        model.config = config
        return model

    def __call__(self, name, held_out, **record):
        entries = open_dataset(self.data).annotated
        out = {f"i{k:02d}" for k in held_out}
        content = {
            "train": [entry.name for entry in entries if entry.name not in out],
            "validation": sorted(out),
            "left_out": [],
            "sha256": fingerprint(survey_images(entries)),
        }
        network = build_network(CONFIG.network, torch.Generator().manual_seed(len(self.models)))
        path = self.folder / name
        record = {"data": content, "run": {"kept": "last"}, **record}
        write_model_folder(path, network, CONFIG, diameter=12.0, record=record, card="")
        return path
