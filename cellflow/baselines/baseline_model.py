"""A trained baseline, ready to predict the cells of images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from cellflow.baselines.baseline_folder import read_baseline_folder
from cellflow.baselines.build import build_learner
from cellflow.baselines.choose_cells import choose_cells, require_known_classes
from cellflow.baselines.greys import grey_image, standardize
from cellflow.baselines.learner import DetectedCells, Learner, whole_image
from cellflow.baselines.settings import BaselineConfig
from cellflow.errors import ModelError
from cellflow.hashing import hash_file
from cellflow.network.devices import choose_device, is_out_of_memory
from cellflow.network.model_folder import BASELINE
from cellflow.network.precision import autocast
from cellflow.network.weights_file import WEIGHTS, load_weights_file
from cellflow.records import Prediction
from cellflow.telling import Say, ignore
from cellflow.training.augment import crop_picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """A model ready to predict.

    Parameters
    ----------
    name : str
        Name of its folder.
    learner : Learner
    classes : tuple of str
    config : BaselineConfig
    device : torch.device
    dtype : torch.dtype
        Of the convolutions.
    fingerprint : str
        Hash of the weights; empty during training.
    say : callable
        Called with a message if an image reaches the model's limit of detections.
    """

    name: str
    learner: Learner
    classes: tuple[str, ...]
    config: BaselineConfig
    device: torch.device
    dtype: torch.dtype = torch.float32
    fingerprint: str = ""
    say: Say = ignore

    def predict(self, image: NDArray[Any], name: str = "") -> Prediction:
        """Find the cells of one image, without overlap.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype
        name : str

        Raises
        ------
        ImageError
            The image contains NaN or infinity.
        ModelError
            There is not enough memory.
        """
        found = self.find(image)
        prediction = choose_cells(found, name, self.classes, self.config.cells)
        # If no cell is left, a longer list would not add any.
        if found.is_full and prediction.labels.any():
            self.say(
                f"image {name}: reached the limit of {self.config.detector.detections} detections; "
                "it may hold more cells: raise detector.detections"
            )
        return prediction

    def find(self, image: NDArray[Any]) -> DetectedCells:
        """Give all detections of the network in one image; the cells may overlap."""
        grey = grey_image(image)
        crop = crop_picture(grey.units, whole_image(grey.shape, self.config.image.scale), 1)
        seen = standardize(crop.image, crop.inside, grey, self.config.image)
        self.learner.network.eval()
        try:
            with torch.no_grad(), autocast(self.device, self.dtype):
                return self.learner.find(
                    torch.from_numpy(seen).to(self.device), grey.shape, self.config
                )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        raise ModelError(
            f"{self.device}: not enough memory for an image of {grey.shape[0]}x{grey.shape[1]} px "
            f"at {self.config.image.scale:g} times its size; lower detector.rpn_after_test or "
            "detector.detections, or use --device cpu"
        )


def load_baseline(
    folder: Path | str,
    device: str = "auto",
    *,
    change: Callable[[BaselineConfig], BaselineConfig] = lambda config: config,
    say: Say = ignore,
) -> Baseline:
    """Load a trained baseline.

    Parameters
    ----------
    folder : path
        Written by `train_baseline`.
    device : str
        ``auto``, ``cpu``, ``cuda[:N]`` or ``mps``.
    change : callable
        Maps the settings to others; the section ``cells`` and the limits in ``detector`` may
        differ.
    say : callable
        As in `Baseline`.

    Raises
    ------
    ModelError
        It is not a baseline's folder, is broken, or needs torchvision, which is not installed.
    ConfigError
        The device does not exist, or ``cells`` has limits for an unknown class.
    """
    read, chosen = read_baseline_folder(folder), choose_device(device)
    config = change(read.config)
    if config.cells != read.config.cells:
        require_known_classes(config.cells, read.model, read.classes)
    learner = build_learner(read.model, config, len(read.classes))
    load_weights_file(read.path / WEIGHTS, learner.network, BASELINE)
    learner.network.to(chosen.device)
    return Baseline(
        name=read.path.name,
        learner=learner,
        classes=read.classes,
        config=config,
        device=chosen.device,
        fingerprint=hash_file(read.path / WEIGHTS),
        say=say,
    )
