"""Cellpose 3.1's own trainer and ``eval``, as the reference for our networks.

Apart from `network.cpnet` this is the only module that imports cellpose. Both sides start from the
same weights and see the same number of crops of the same images.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.atomic import write_json
from cellflow.config import Config
from cellflow.data.dataset import Entry
from cellflow.data.flatten import flatten
from cellflow.errors import ConfigError, ModelError
from cellflow.jsontext import read_object
from cellflow.network.cpnet import build_network
from cellflow.network.devices import choose_device
from cellflow.network.model_folder import CELLPOSE_FILE
from cellflow.records import Prediction
from cellflow.training.levels import LEVELS, choose_levers, describe_levers
from cellflow.training.run_folder import RunFolder
from cellflow.training.schedule import choose_rate

FACTS = "reference.json"
"""Written beside the model when training is finished."""

OURS_ALONE = {
    "training": (
        *("flow_weight", "style", "gradient_clip", "ema_decay", "rescaling"),
        *("keep", "patience", "max_minutes"),
    ),
    "inference": ("views", "scales"),
    "dynamics": ("score_threshold", "boundary_shift"),
}
"""Settings, by section, that Cellpose does not have. They are refused: if ignored, they would be
reported as if they applied."""


def train_reference(
    entries: Sequence[Entry], config: Config, folder: Path, device: str = "auto"
) -> dict[str, Any]:
    """Train Cellpose's U-Net by ``cellpose.train.train_seg``.

    Parameters
    ----------
    entries : sequence of Entry
        The annotated training images.
    config : Config
        Used are, of the training section, the length, batch size, crop size, rates, optimiser
        (adamw or sgd), minimum number of cells and seed; of the data section, the flatten policy
        and channels.
    folder : Path
        ``cellpose_model`` and ``reference.json`` are written here.
    device : str

    Returns
    -------
    dict
        ``n_steps``, ``n_parameters``, ``seconds``, ``device``: the content of ``reference.json``.

    Raises
    ------
    ConfigError
        An optimiser or an augmentation that Cellpose does not have.
    DataError
        An image has no truth, or another process is training in `folder`.

    Notes
    -----
    An epoch is filled up to whole batches, like ours, by Cellpose's own sampling with replacement.
    Cellpose draws from NumPy's global generator, which it seeds itself each epoch; the seed of the
    run only determines the initial weights. An interrupted training cannot be continued.
    """
    require_possible(config)
    with RunFolder(path=folder).occupied():
        return read_reference(folder) or _train(entries, config, folder, device)


def _train(entries: Sequence[Entry], config: Config, folder: Path, device: str) -> dict[str, Any]:
    from cellpose.train import train_seg

    training = config.training
    images, labels = zip(*(_annotated(entry, config) for entry in entries), strict=True)
    chosen = choose_device(device)
    generator = torch.Generator().manual_seed(training.seed)
    network = build_network(config.network, generator).to(chosen.device)
    n_crops = training.images_per_epoch or len(images)
    steps = -(-n_crops // training.batch_size)
    started = time.monotonic()
    written = train_seg(
        network,
        train_data=list(images),
        train_labels=list(labels),
        channels=list(config.data.channels),
        batch_size=training.batch_size,
        learning_rate=choose_rate(training),
        n_epochs=training.n_epochs,
        weight_decay=training.weight_decay,
        momentum=training.momentum,
        SGD=training.optimizer == "sgd",
        nimg_per_epoch=steps * training.batch_size,
        scale_range=choose_levers(config.augment).scale_range,
        bsize=training.crop_size,
        min_train_masks=training.min_cells,
        save_path=folder,
    )[0]
    facts: dict[str, Any] = {
        "n_steps": steps * training.n_epochs,
        "n_parameters": sum(tensor.numel() for tensor in network.parameters()),
        "seconds": time.monotonic() - started,
        "device": str(chosen),
    }
    shutil.move(written, folder / CELLPOSE_FILE)
    shutil.rmtree(folder / "models")
    write_json(folder / FACTS, facts)
    return facts


def require_possible(config: Config) -> None:
    """Check that Cellpose's trainer and ``eval`` support all settings that affect the result.

    Parameters
    ----------
    config : Config
        Of training and prediction.

    Raises
    ------
    ConfigError
        They do not: another optimiser, schedule or augmentation, or a setting that only cellflow
        has.
    """
    optimizer, levers = config.training.optimizer, choose_levers(config.augment)
    if optimizer not in ("adamw", "sgd"):
        raise ConfigError(f"Cellpose has no optimiser {optimizer}; expected adamw or sgd")
    if config.training.schedule not in ("auto", "cellpose"):
        raise ConfigError(f"Cellpose has no schedule {config.training.schedule}, only its own")
    for section, names in OURS_ALONE.items():
        for name in names:
            asked, default = (getattr(getattr(c, section), name) for c in (config, Config()))
            if asked != default:
                raise ConfigError(f"Cellpose's own trainer and eval have no {section}.{name}")
    own = LEVELS["cellpose"]
    if replace(levers, scale_range=own.scale_range) != own:
        raise ConfigError(
            "Cellpose has its own augmentation, of which only augment.scale_range can be set; "
            f"found {describe_levers(config.augment)}"
        )


def read_reference(folder: Path) -> dict[str, Any] | None:
    """Read what a finished training wrote; None if it is not finished.

    Raises
    ------
    ModelError
        The file is broken.
    """
    path = folder / FACTS
    if not path.exists():
        return None
    return read_object(path, ModelError, "delete the folder")


def predict_reference(
    folder: Path, entries: Sequence[Entry], config: Config, device: str = "auto"
) -> Iterator[Prediction]:
    """Find cells by ``CellposeModel.eval``, at the mean diameter of the training cells.

    Parameters
    ----------
    folder : Path
        Written by `train_reference`.
    entries : sequence of Entry
    config : Config
        Used are the diameter and overlap of its inference section, and the thresholds of its
        dynamics section.
    device : str

    Yields
    ------
    Prediction
        Every cell with score 1, since Cellpose gives none.
    """
    from cellpose.models import CellposeModel

    chosen = choose_device(device).device
    model = CellposeModel(
        gpu=chosen.type != "cpu", device=chosen, pretrained_model=str(folder / CELLPOSE_FILE)
    )
    for entry in entries:
        labels = model.eval(
            entry.load().image,
            channels=list(config.data.channels),
            diameter=config.inference.diameter,
            cellprob_threshold=config.dynamics.cellprob_threshold,
            flow_threshold=config.dynamics.flow_threshold,
            min_size=config.dynamics.min_size,
            tile_overlap=config.inference.tile_overlap,
        )[0].astype(np.int32)
        yield Prediction(
            name=entry.name, labels=labels, scores=np.ones(int(labels.max()), np.float32)
        )


def _annotated(entry: Entry, config: Config) -> tuple[NDArray[Any], NDArray[np.int32]]:
    image, truth = entry.load_annotated()
    return image, flatten(truth, config.data.flatten)
