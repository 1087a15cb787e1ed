"""A cache of network output on disk, so that thresholds can be tuned again without the network."""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cellflow.atomic import atomic_path
from cellflow.data.dataset import Entry
from cellflow.hashing import hash_file
from cellflow.inference.predict import Model
from cellflow.records import FlowField


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenField:
    """A flow field, and the diameter that was assumed.

    Parameters
    ----------
    field : FlowField
    diameter, diam_mean : float
        Of the cells in the image and as the network saw them, pixels.
    """

    field: FlowField
    diameter: float
    diam_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCache:
    """A folder of flow fields, one file each, named by a hash of everything they depend on.

    Parameters
    ----------
    folder : Path

    Notes
    -----
    A field of 520x704 pixels takes 4.4 MB. Memory holds one at a time. A broken file is computed
    again.
    """

    folder: Path

    def look(self, model: Model, weights: str, entry: Entry, factor: float = 1.0) -> SeenField:
        """Give the flow field of an image, from the folder or from the network.

        Parameters
        ----------
        model : Model
        weights : str
            Hash of the network's weights.
        entry : Entry
        factor : float
            Multiplies the model's diameter.

        Raises
        ------
        DataError
            The image cannot be read, or the folder cannot be written.
        """
        if not model.is_settled:
            model.settle_precision(entry.load().image)
        path = self.folder / f"{_key(model, weights, entry, factor)}.npz"
        kept = _read(path)
        if kept is not None:
            return kept
        image = entry.load().image
        own, diam_mean = model.sizes(model.find_diameter(image))
        diameter = factor * own
        field = model.flow_field(image, diameter)
        seen = SeenField(field=field, diameter=diameter, diam_mean=diam_mean)
        _write(path, seen)
        return seen


def _key(model: Model, weights: str, entry: Entry, factor: float) -> str:
    content = {
        "weights": weights,
        "image": hash_file(entry.image_path),
        "data": asdict(model.config.data),
        "inference": asdict(model.config.inference),
        "diameter": model.diameter,
        "dynamics": None if model.diameter else asdict(model.config.dynamics),
        "dtype": ",".join(model.dtypes),
        "factor": factor,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _write(path: Path, seen: SeenField) -> None:
    field = seen.field
    arrays = {"flows": field.flows, "cellprob": field.cellprob, "style": field.style}
    if field.spread is not None:
        arrays["spread"] = field.spread
    sizes = np.array([seen.diameter, seen.diam_mean])
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, sizes=sizes, **arrays)


def _read(path: Path) -> SeenField | None:
    try:
        with np.load(path) as kept:
            field = FlowField(
                flows=kept["flows"],
                cellprob=kept["cellprob"],
                style=kept["style"],
                spread=kept.get("spread"),
            )
            diameter, diam_mean = kept["sizes"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return SeenField(field=field, diameter=diameter, diam_mean=diam_mean)
