"""Settings of inference: from an image to a flow field."""

from dataclasses import dataclass
from typing import Literal

from cellflow.config.checks import require, require_choice, require_finite
from cellflow.config.precision import Precision

DiameterPolicy = Literal["auto", "fixed", "training", "per_type", "estimated", "refined"]
Compilation = Literal["auto", "none", "graphs", "inductor"]

LEAST_DIAMETER, MOST_DIAMETER = 1.0, 1e5
"""Limits of the diameter of cells, pixels: no cell is smaller than one; no image has cells larger
than the other, and flows do not lead so far."""

LEAST_OVERLAP = 0.05
"""Smallest overlap of tiles, as in Cellpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """How an image is turned into a flow field."""

    diameter: float | None = None
    """Cell diameter in the images, pixels; None = the model's training diameter."""
    diameter_policy: DiameterPolicy = "auto"
    """Where the diameter comes from, see cellflow/inference/diameter.py. auto = the first available
    of: that of the cell type, the setting above, that of the training, measured in the image."""
    views: int = 1
    """1, 2, 4 or 8 flipped and turned views of each image, averaged; each costs one pass."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the network sees each image, relative to the usual one; averaged. The cost of
    a pass grows with the square."""
    tile_size: int = 224
    """Side of the square tiles fed to the network, pixels; a multiple of 16; as in Cellpose."""
    tile_overlap: float = 0.1
    """Share of a tile that its neighbour covers too, at least; 0.05 to 0.5. Default and limits as
    in Cellpose."""
    batch_size: int | None = None
    """Tiles per forward pass; limits the memory. None = 16 on CUDA, 8 on MPS; on a CPU one per
    thread, but at least 4."""
    precision: Precision = "auto"
    """auto = bfloat16 if the device computes it natively, float16 on older GPUs with tensor cores
    (V100, T4), both only if on a tile of the first image the output agrees with float32
    (cellflow/inference/precision_gate.py); else float32."""
    compilation: Compilation = "auto"
    """How the network is compiled for its fixed shapes, see cellflow/inference/compilation.py. auto
    = CUDA graphs on CUDA (takes a second), none elsewhere; inductor takes a minute per network."""
    images_in_flight: int | None = None
    """Images that are processed at the same time, by the network or by the search for cells; if
    more than 1, the next one is read meanwhile. Limits the memory. None = 3 with a GPU; 1 on a CPU,
    where the network uses every core."""

    def __post_init__(self) -> None:
        require_finite("inference", self)
        require(
            self.diameter is None or LEAST_DIAMETER <= self.diameter <= MOST_DIAMETER,
            f"inference.diameter: expected {LEAST_DIAMETER:g} to {MOST_DIAMETER:g} px, "
            f"found {self.diameter}",
        )
        require(
            self.tile_size >= 32 and self.tile_size % 16 == 0,
            f"inference.tile_size: expected a multiple of 16, 32 or more, found {self.tile_size}",
        )
        require(
            LEAST_OVERLAP <= self.tile_overlap <= 0.5,
            f"inference.tile_overlap: expected {LEAST_OVERLAP:g} to 0.5, found {self.tile_overlap}",
        )
        require(
            self.batch_size is None or self.batch_size > 0,
            f"inference.batch_size: expected > 0, found {self.batch_size}",
        )
        require_choice("inference.precision", self.precision, Precision)
        require_choice("inference.compilation", self.compilation, Compilation)
        self._check_diameter_policy()
        require(
            self.views in (1, 2, 4, 8),
            f"inference.views: expected 1, 2, 4 or 8, found {self.views}",
        )
        require(
            len(self.scales) > 0 and all(0.25 <= scale <= 4 for scale in self.scales),
            f"inference.scales: expected one or more factors from 0.25 to 4, found {self.scales}",
        )
        require(
            len(set(self.scales)) == len(self.scales),
            f"inference.scales: each only once, found {self.scales}",
        )
        require(
            self.images_in_flight is None or self.images_in_flight > 0,
            f"inference.images_in_flight: expected > 0, found {self.images_in_flight}",
        )

    def _check_diameter_policy(self) -> None:
        require_choice("inference.diameter_policy", self.diameter_policy, DiameterPolicy)
        require(
            self.diameter_policy != "fixed" or self.diameter is not None,
            "inference.diameter_policy: fixed, but inference.diameter is not given",
        )
        require(
            self.diameter_policy != "training" or self.diameter is None,
            f"inference.diameter_policy: training, but inference.diameter is {self.diameter}; "
            "set it to none",
        )
