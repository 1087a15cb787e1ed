"""``thresholds.json`` of a model folder: how flows become cells, by cell type.

::

    {"format": 2,
     "tuned": true,
     "default": {"cellprob_threshold": 0.0, "flow_threshold": 0.4, "min_size": 15,
                 "score_threshold": 0.0, "boundary_shift": 0.0, "diameter": null},
     "per_cell_type": {"astro": {…}},
     "provenance": {"how": …, "images_sha256": …, "n_images": …, "images": […],
                    "scores": {…}}}

A missing setting has its default.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cellflow._version import __version__
from cellflow.atomic import write_json
from cellflow.config import Config, DynamicsConfig
from cellflow.errors import ConfigError, ModelError
from cellflow.interval import Interval
from cellflow.jsontext import read_object

THRESHOLDS = "thresholds.json"
FORMAT = 2
"""Newer ones are refused."""
_UNTUNED = DynamicsConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSettings:
    """How the flows of images of one kind become cells.

    Parameters
    ----------
    cellprob_threshold, flow_threshold, min_size, score_threshold, boundary_shift
        See `DynamicsConfig`.
    diameter : float or None
        Cell diameter of such images, pixels; None = the model's training diameter.

    Raises
    ------
    ConfigError
        A value is outside its range.
    """

    cellprob_threshold: float = _UNTUNED.cellprob_threshold
    flow_threshold: float = _UNTUNED.flow_threshold
    min_size: int = _UNTUNED.min_size
    score_threshold: float = _UNTUNED.score_threshold
    boundary_shift: float = _UNTUNED.boundary_shift
    diameter: float | None = None

    def __post_init__(self) -> None:
        # The config sections check the ranges.
        self.applied_to(Config())

    def applied_to(self, config: Config) -> Config:
        """Give `config` with these settings; with `diameter` None it keeps its own."""
        values = asdict(self)
        diameter = values.pop("diameter")
        inference = config.inference
        if diameter is not None:
            inference = replace(inference, diameter=diameter)
        return replace(config, dynamics=replace(config.dynamics, **values), inference=inference)

    @classmethod
    def of(cls, config: Config) -> "CellSettings":
        """Take the settings out of a `Config`."""
        names = [each.name for each in fields(cls) if each.name != "diameter"]
        values = {name: getattr(config.dynamics, name) for name in names}
        return cls(**values, diameter=config.inference.diameter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where tuned thresholds come from.

    Parameters
    ----------
    how : str
        The search in words: what was swept, nested folds, seed.
    images_sha256 : str
        Hash of the images and their truth that the thresholds were tuned on.
    n_images : int
    images : tuple of str
        Their names.
    scores : mapping of str to Interval
        ``default`` (untuned), ``itself`` (tuned on the images it scores), ``nested`` (the honest
        one), and paired by image ``gain`` (nested minus default) and ``optimism`` (itself minus
        nested).
    versions : mapping of str to str
    """

    how: str
    images_sha256: str
    n_images: int
    images: tuple[str, ...]
    scores: Mapping[str, Interval] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: {"cellflow": __version__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The settings of a model: for every image, and for images of known cell type.

    Parameters
    ----------
    default : CellSettings
        For images whose type is unknown, or has no settings of its own.
    per_cell_type : mapping of str to CellSettings
    tuned : bool
        Whether a search chose them.
    provenance : Provenance or None
        None when not tuned.
    """

    default: CellSettings = field(default_factory=CellSettings)
    per_cell_type: Mapping[str, CellSettings] = field(default_factory=dict)
    tuned: bool = False
    provenance: Provenance | None = None

    @classmethod
    def untuned(cls, config: Config) -> "Thresholds":
        """Give those of a model that was trained with `config`, without a diameter."""
        return cls(default=replace(CellSettings.of(config), diameter=None))

    def of_type(self, cell_type: str | None) -> CellSettings:
        """Give the settings for images of a cell type; None or an unknown one = the default."""
        return (
            self.default if cell_type is None else self.per_cell_type.get(cell_type, self.default)
        )


def read_thresholds(folder: Path | str) -> Thresholds:
    """Read ``thresholds.json`` of a model folder.

    Raises
    ------
    ModelError
        The file is missing or broken, a newer cellflow wrote it, or a setting is unknown, of the
        wrong type or outside its range.
    """
    path = Path(folder) / THRESHOLDS
    content = read_object(path, ModelError, newest=FORMAT)
    _refuse_unknown(
        path, "", content, ["format", "tuned", "default", "per_cell_type", "provenance"]
    )
    for name, kind in (("tuned", bool), ("default", dict), ("per_cell_type", dict)):
        if not isinstance(content.get(name), kind):
            wanted = {bool: "true or false", dict: "an object"}[kind]
            raise ModelError(f"{path}: {name}: expected {wanted}, found {content.get(name)!r}")
    return Thresholds(
        default=_settings(path, "default", content["default"]),
        per_cell_type={
            kind: _settings(path, f"per_cell_type.{kind}", values)
            for kind, values in content["per_cell_type"].items()
        },
        tuned=content["tuned"],
        provenance=_provenance(path, content.get("provenance")),
    )


def write_thresholds(folder: Path | str, thresholds: Thresholds) -> None:
    """Write ``thresholds.json`` into a model folder."""
    write_json(Path(folder) / THRESHOLDS, thresholds_to_dict(thresholds))


def thresholds_to_dict(thresholds: Thresholds) -> dict[str, Any]:
    """Give `thresholds` as plain values, as the file holds them."""
    return {"format": FORMAT, **asdict(thresholds)}


def _refuse_unknown(path: Path, where: str, values: Mapping[str, Any], known: list[str]) -> None:
    for name in values:
        if name not in known:
            raise ModelError(f"{path}: unknown entry {where}{name}; known: {', '.join(known)}")


def _settings(path: Path, where: str, values: Any) -> CellSettings:
    if not isinstance(values, dict):
        raise ModelError(f"{path}: {where}: expected an object, found {values!r}")
    _refuse_unknown(path, f"{where}.", values, [each.name for each in fields(CellSettings)])
    for name, value in values.items():
        if name == "min_size":
            is_right, wanted = type(value) is int, "a whole number"
        else:
            is_right, wanted = _is_number(value), "a number"
            is_right |= name == "diameter" and value is None
        if not is_right:
            raise ModelError(f"{path}: {where}.{name}: expected {wanted}, found {value!r}")
    try:
        return CellSettings(**values)
    except ConfigError as error:
        raise ModelError(f"{path}: {where}: {error}") from error


def _provenance(path: Path, values: Any) -> Provenance | None:
    if values is None:
        return None
    try:
        scores = {name: Interval.from_dict(one) for name, one in values["scores"].items()}
        images = tuple(values["images"])
        return Provenance(**{**values, "images": images, "scores": scores})
    except (TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: provenance is broken: {error}") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
