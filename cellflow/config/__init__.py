"""All settings, with default, unit and reason; one frozen dataclass ("section") per room.

The public functions of a room take its section; kernels take plain numbers. `configfile` reads and
writes settings as TOML and JSON.
"""

from dataclasses import dataclass, field

from cellflow.config.augment import AugmentConfig, AugmentLevel
from cellflow.config.comparison import ComparisonConfig, OverlapRule
from cellflow.config.data import DataConfig, FlattenPolicy
from cellflow.config.dynamics import DynamicsConfig
from cellflow.config.inference import Compilation, DiameterPolicy, InferenceConfig
from cellflow.config.network import NetworkConfig
from cellflow.config.precision import Precision, UnscaledPrecision
from cellflow.config.stages import Refit, StagesConfig
from cellflow.config.training import Keep, Optimizer, Rescaling, Schedule, TrainingConfig
from cellflow.config.tuning import TuningConfig

__all__ = [
    "AugmentConfig",
    "AugmentLevel",
    "ComparisonConfig",
    "Compilation",
    "Config",
    "DataConfig",
    "DiameterPolicy",
    "DynamicsConfig",
    "FlattenPolicy",
    "InferenceConfig",
    "Keep",
    "NetworkConfig",
    "Optimizer",
    "OverlapRule",
    "Precision",
    "Refit",
    "Rescaling",
    "Schedule",
    "StagesConfig",
    "TrainingConfig",
    "TuningConfig",
    "UnscaledPrecision",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All sections together, as in a settings file and in the record of a model folder."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    stages: StagesConfig = field(default_factory=StagesConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
