"""What training minimises: Cellpose's two losses, kept apart so that both can be watched."""

import torch
from torch.nn import functional

from cellflow.network.cpnet import FLOW_SCALE


def flow_and_cell_loss(
    output: torch.Tensor, flows: torch.Tensor, cells: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the flow loss and the cell-probability loss; training minimises their weighted sum.

    Parameters
    ----------
    output : (B, 3, H, W) float tensor
        Network output: flows (dy, dx) times the flow scale, then the cell logit.
    flows : (B, 2, H, W) float tensor
        Target vectors (dy, dx), length at most 1.
    cells : (B, H, W) float tensor
        1 in cells, else 0.
    weights : (B, H, W) float tensor
        What each pixel counts.

    Returns
    -------
    flow_loss, cell_loss : scalar float32 tensors
        Half the mean squared error of the scaled flows; the mean binary cross-entropy of the
        logit. Both are computed in float32 whatever the network's precision.

    Notes
    -----
    The means are over all pixels, whatever their weights: a pixel without weight adds nothing, and
    leaves what the others add as it is.

    References
    ----------
    ``_loss_fn_seg`` of ``cellpose/train.py``, version 3.1.
    """
    output = output.float()
    squared_errors = (output[:, :2] - FLOW_SCALE * flows).square()
    flow_loss = (squared_errors * weights[:, None]).mean() / 2
    cell_loss = functional.binary_cross_entropy_with_logits(output[:, 2], cells, weights)
    return flow_loss, cell_loss
