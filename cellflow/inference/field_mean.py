"""The average over several passes of one image: views, scales and models."""

import numpy as np
import torch

from cellflow.network.cpnet import FLOW_SCALE
from cellflow.records import FlowField


class FieldMean:
    """Running mean and spread of network outputs; holds at most two images in memory.

    Notes
    -----
    Flows and logits are averaged, not cells. Where passes disagree, the mean flow is short, so the
    flow error of the cell grows and its confidence falls.
    """

    def __init__(self) -> None:
        self._n = 0
        self._total: torch.Tensor | None = None
        self._squares: torch.Tensor | None = None

    def add(self, output: torch.Tensor) -> None:
        """Add a (3, H, W) network output: flows times `FLOW_SCALE`, and the logit."""
        self._n += 1
        if self._total is None:
            self._total = output
            return
        if self._squares is None:
            self._squares = _squared_length(self._total)
        self._squares += _squared_length(output)
        self._total = self._total + output

    def result(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Give the mean and the spread.

        Returns
        -------
        (3, H, W) float32
            Flows in pixels per step, and the logit.
        (H, W) float32, or None
            Root mean square distance of the flows from their mean, pixels per step; None after a
            single pass.

        Raises
        ------
        ValueError
            Nothing was added.
        """
        if self._total is None:
            raise ValueError("no output was added")
        mean = self._total / self._n if self._n > 1 else self._total
        mean = torch.cat([mean[:2] / FLOW_SCALE, mean[2:]])
        if self._squares is None:
            return mean, None
        squares = self._squares / (self._n * FLOW_SCALE**2)
        return mean, (squares - _squared_length(mean)).clamp_(min=0).sqrt_()


class PendingField:
    """A flow field that a GPU may still be computing.

    Parameters
    ----------
    mean : (3, H, W) float32
    spread : (H, W) float32, or None
        As `FieldMean.result` gives them.
    style : (S,) float32

    Notes
    -----
    The copies to pinned CPU memory are queued behind the computation. Only `result` waits; any
    thread may call it.
    """

    def __init__(
        self, mean: torch.Tensor, spread: torch.Tensor | None, style: torch.Tensor
    ) -> None:
        parts = [mean, style] if spread is None else [mean, style, spread]
        self._done: torch.cuda.Event | None = None
        if mean.device.type == "cuda":
            self._parts = [_copy_pinned(part) for part in parts]
            self._done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._done.record(torch.cuda.current_stream(mean.device))
        else:
            self._parts = [part.cpu() for part in parts]

    def result(self) -> FlowField:
        """Wait for the field."""
        if self._done is not None:
            self._done.synchronize()
        mean, style, *spread = (part.numpy() for part in self._parts)
        return FlowField(
            flows=np.ascontiguousarray(mean[:2]),
            cellprob=mean[2],
            style=style,
            spread=spread[0] if spread else None,
        )


def _squared_length(output: torch.Tensor) -> torch.Tensor:
    return output[0] ** 2 + output[1] ** 2


def _copy_pinned(part: torch.Tensor) -> torch.Tensor:
    pinned = torch.empty(part.shape, dtype=part.dtype, pin_memory=True)
    return pinned.copy_(part, non_blocking=True)
