"""Loading of models from folders, files and by name."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cellflow.config import Config
from cellflow.errors import ModelError
from cellflow.hashing import hash_file
from cellflow.inference.cells import CellFinder
from cellflow.inference.model import Model
from cellflow.network.cpnet import PRETRAINED, load_pretrained, load_weights
from cellflow.network.devices import choose_device
from cellflow.network.model_folder import CONFIG, read_model_folder

__all__ = ["DEFAULT_MODEL_VARIABLE", "Model", "default_model", "load_model", "load_models"]

DEFAULT_MODEL_VARIABLE = "CELLFLOW_MODEL"


def load_models(
    sources: Sequence[Path | str],
    *,
    device: str = "auto",
    change: Callable[[Config], Config] | None = None,
) -> Model:
    """Load one model, or several whose flow fields are averaged.

    Parameters
    ----------
    sources : sequence of path or str
        Each as for `load_model`; if empty, the default model.
    device, change
        As for `load_model`; `change` is called with the settings of each model.

    Raises
    ------
    ModelError
        As `load_model`, or two of the models are the same.

    Notes
    -----
    Thresholds, views and scales are those of the first model. Each network sees the image at its
    own training diameter.
    """
    models = [load_model(source, device=device, change=change) for source in sources]
    if not models:
        return load_model(device=device, change=change)
    if len(models) == 1:
        return models[0]
    seen: dict[str, str] = {}
    for model in models:
        if model.fingerprint in seen:
            raise ModelError(f"{seen[model.fingerprint]} and {model.name} are the same model")
        seen[model.fingerprint] = model.name
    return Model.joined(models)


def load_model(
    source: Path | str | None = None,
    *,
    device: str = "auto",
    change: Callable[[Config], Config] | None = None,
) -> Model:
    """Load a model folder, a Cellpose file or a pretrained model by name.

    Parameters
    ----------
    source : path or str, optional
        A model folder, a Cellpose 3 file, or a name: ``cyto3``, ``cyto2``, ``livecell_cp3`` …. By
        default ``$CELLFLOW_MODEL``, or else the newest model folder in ``runs/``.
    device : str
        As for `choose_device`.
    change : callable, optional
        ``change(settings)`` gives the settings to use; for options that override the model's.

    Raises
    ------
    ModelError
        There is no such model, or it is broken.
    ConfigError
        The device is not available.

    Notes
    -----
    Nothing is downloaded, except the weights of a pretrained model that are not in the cache.
    """
    chosen = choose_device(device).device
    adjust = change or (lambda config: config)
    if source is None:
        source = default_model()
    path = Path(source)
    if path.is_dir():
        folder = read_model_folder(path)
        finder = CellFinder.from_folder(folder, adjust)  # before the weights, which take longer
        return Model.from_network(
            folder.load_network(),
            finder,
            diameter=folder.diameter,
            device=chosen,
            name=str(path),
            fingerprint=folder.fingerprint(),
        )
    adjust(Config())  # so that bad options fail before weights are downloaded or read
    if str(source) in PRETRAINED and not path.exists():
        network, path = load_pretrained(str(source))
        # The training diameter of Cellpose's own models says nothing about the user's cells.
        diameter = None
    elif path.is_file():
        network = load_weights(path)
        diameter = float(network.diam_labels)
    else:
        raise ModelError(
            f"no model {source}: expected a model folder, a Cellpose 3 file or one of "
            f"{', '.join(PRETRAINED)}"
        )
    config = Config()
    config = adjust(
        replace(config, network=replace(config.network, diam_mean=float(network.diam_mean)))
    )
    return Model.from_network(
        network,
        config,
        diameter=diameter,
        device=chosen,
        name=str(source),
        fingerprint=hash_file(path),
    )


def default_model(runs: Path | str = "runs") -> Path:
    """Give ``$CELLFLOW_MODEL``, or else the newest model folder in `runs`.

    Raises
    ------
    ModelError
        There is neither.
    """
    named = os.environ.get(DEFAULT_MODEL_VARIABLE)
    if named:
        return Path(named)
    found = sorted(Path(runs).glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ModelError(
            "no model: give --model FOLDER|cyto3|FILE, set CELLFLOW_MODEL, or train one first "
            f"(there is no model folder in {runs}/)"
        )
    return found[-1].parent
