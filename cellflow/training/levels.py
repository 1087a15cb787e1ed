"""The named levels of augmentation, and the levers that a run uses."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType

from cellflow.config import AugmentConfig, AugmentLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Levers:
    """The value of every augmentation lever, see `AugmentConfig`; 0 = off."""

    horizontal_flip: float = 0.0
    vertical_flip: float = 0.0
    quarter_turns: bool = False
    rotation: float = 0.0
    scale_range: float = 0.0
    scale_range_by_type: Mapping[str, float] = field(default_factory=dict)
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    illumination: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0
    mosaic: float = 0.0
    probability: float = 0.5


_FLIP_RESIZE = Levers(horizontal_flip=0.5, scale_range=0.5)
_REPORT = replace(_FLIP_RESIZE, vertical_flip=0.5, scale_range=1.0, brightness=0.2, contrast=0.2)
LEVELS: Mapping[AugmentLevel, Levers] = MappingProxyType(
    {
        "none": Levers(),
        "flip+resize": _FLIP_RESIZE,
        # The report names its levers, not their strengths: the strengths are ours.
        "report": _REPORT,
        "cellpose": replace(_FLIP_RESIZE, rotation=180.0),
        "full": replace(
            _REPORT,
            rotation=180.0,
            contrast=0.3,
            gamma=0.3,
            illumination=0.2,
            blur=1.0,
            noise=0.05,
            cutout=0.3,
            mosaic=0.1,
        ),
    }
)
"""What each level switches on; even with ``none`` crops are cut at random places."""


def choose_levers(config: AugmentConfig) -> Levers:
    """Give the levers of the level, replaced by those that are set in `config` itself."""
    given = {each.name: getattr(config, each.name) for each in fields(Levers)}
    return replace(LEVELS[config.level], **{k: v for k, v in given.items() if v is not None})


def settle_levels(config: AugmentConfig) -> AugmentConfig:
    """Give `config` with every lever written out, for the record of a run."""
    return replace(config, **asdict(choose_levers(config)))


def describe_levers(config: AugmentConfig) -> str:
    """Say which levers are on.

    Examples
    --------
    >>> describe_levers(AugmentConfig(level="flip+resize", noise=0.1))
    'level flip+resize (horizontal flip 0.5, scale range 0.5, noise 0.1)'
    """
    levers = asdict(choose_levers(config))
    levers.pop("probability")
    shown = [
        f"{name.replace('_', ' ')} {_value(value)}".strip()
        for name, value in levers.items()
        if value
    ]
    return f"level {config.level} ({', '.join(shown) or 'nothing but the place of the crop'})"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, Mapping):
        return " ".join(f"{name} {one:g}" for name, one in value.items())
    return f"{value:g}"
