"""torchvision with its native operators, or with ours if its C library does not load.

All code in cellflow must call `load_torchvision` before it imports torchvision. PyPI's torchvision
for Linux is built for CUDA; with a CPU-only torch its library does not load.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
import threading
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from cellflow.baselines.region_pooling import pool_regions
from cellflow.baselines.suppression import suppress_boxes
from cellflow.errors import ModelError

NATIVE, FALLBACK = "native", "fallback"

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
)
"""Signatures of torchvision's operators; qnms is declared only so that its import succeeds."""

_NO_CUDA = -1
"""The CUDA version that torchvision's library reports if it is built without CUDA."""
_REFUSED = r"Failed to load image Python extension"
"""A warning of torchvision that is ignored, since we read pictures ourselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Which implementations of NMS and RoIAlign are in use.

    Parameters
    ----------
    kind : {"native", "fallback"}
    reason : str
        Why.
    torchvision : str
        Its version.
    """

    kind: str
    reason: str
    torchvision: str

    def __str__(self) -> str:
        """Format as ``native operators of torchvision 0.28.0 (its library loads)``."""
        return f"{self.kind} operators of torchvision {self.torchvision} ({self.reason})"


_loaded: Operators | None = None
_library: torch.library.Library | None = None  # its registrations end with it
_lock = threading.Lock()


def load_torchvision() -> Operators:
    """Import torchvision with working operators, and say which ones they are.

    Raises
    ------
    ModelError
        The extra is not installed, or torchvision is broken or for another torch version.

    Notes
    -----
    May be called repeatedly; the first call decides for the whole process.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load()
        return _loaded


def _load() -> Operators:
    spec = importlib.util.find_spec("torchvision")
    try:
        number = version("torchvision")
    except PackageNotFoundError:
        number = ""
    if spec is None or not number or not spec.submodule_search_locations:
        raise ModelError(
            "Mask R-CNN and Cascade Mask R-CNN need torchvision: pip install 'cellflow[rcnn]'"
        )
    refusal = _refusal(Path(spec.submodule_search_locations[0]))
    if refusal is not None:
        _declare_operators()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_REFUSED)
            importlib.import_module("torchvision")
            extension = importlib.import_module("torchvision.extension")
            importlib.import_module("torchvision.models.detection")
    except (ImportError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"torchvision {number} does not work with torch {torch.__version__} ({error}); install "
            "the pair that belongs together: pip install 'cellflow[rcnn]'"
        ) from error
    if refusal is None:
        _require_cuda(number)
        return Operators(kind=NATIVE, reason="its library loads", torchvision=number)
    _announce_operators(extension)
    return Operators(kind=FALLBACK, reason=refusal, torchvision=number)


def _require_cuda(number: str) -> None:
    """Refuse a library without CUDA operators if there is a GPU; the first step would fail."""
    if torch.cuda.is_available() and torch.ops.torchvision._cuda_version() == _NO_CUDA:
        raise ModelError(
            f"torchvision {number} is built for the CPU only, torch {torch.__version__} for CUDA; "
            "install matching versions (pip install 'cellflow[rcnn]'), or hide the "
            "GPU: CUDA_VISIBLE_DEVICES="
        )


def _refusal(package: Path) -> str | None:
    """Say why torchvision's library does not load; None if it loads."""
    finder = importlib.machinery.FileFinder(
        str(package),
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    )
    spec = finder.find_spec("_C")
    if spec is None or spec.origin is None:
        return "it has no library"
    try:
        torch.ops.load_library(spec.origin)  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError):
        built = torch.version.cuda or "the CPU alone"
        return f"its library does not load beside torch {torch.__version__}, built for {built}"
    return None


def _declare_operators() -> None:
    """Register our operators under torchvision's names before its import; once per process."""
    global _library
    if _library is not None:
        return
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)
    library.impl("nms", _nms, "CompositeExplicitAutograd")
    library.impl("roi_align", pool_regions, "CompositeImplicitAutograd")
    _library = library


def _announce_operators(extension: Any) -> None:
    """Make torchvision's functions call the registered operators instead of raising errors."""
    extension._has_ops = _yes
    # The function `roi_align` hides the module of the same name.
    sys.modules["torchvision.ops.roi_align"]._has_ops = _yes  # type: ignore[attr-defined]


def _yes() -> bool:
    return True


def _nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Suppress boxes on the CPU, whatever their device."""
    wide = torch.float64 if boxes.dtype == torch.float64 else torch.float32
    kept = suppress_boxes(
        boxes.detach().to("cpu", wide).numpy(),
        scores.detach().to("cpu", wide).numpy(),
        iou_threshold,
    )
    return torch.from_numpy(kept).to(boxes.device)
