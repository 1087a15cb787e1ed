"""Pooling of regions from feature maps (RoIAlign), for when torchvision's own does not load.

Works on torch tensors; gradients flow to the feature maps. `cellflow.baselines.operators` installs
it in place of torchvision's, whose pure Python version needs 45 GB for one image.
"""

import torch
from torch.nn import functional

MOST_SAMPLES = 2**24
"""Values that are sampled at once if no gradient is needed: 64 MB."""


def pool_regions(
    features: torch.Tensor,
    regions: torch.Tensor,
    scale: float,
    height: int,
    width: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """Average bilinear samples in a grid of bins within each region.

    Parameters
    ----------
    features : (N, C, H, W) float tensor
    regions : (K, 5) float tensor
        Index of the image, then the corners (x1, y1, x2, y2).
    scale : float
        Feature pixels per unit of the regions.
    height, width : int
        Bins of each region.
    sampling_ratio : int
        Samples along each side of a bin; 0 or less = one per pixel of the bin's width.
    aligned : bool
        Whether regions are shifted by half a pixel, so that pixel 0 spans 0 to 1; else pixel 0 lies
        at 0, and a region is at least one pixel wide.

    Returns
    -------
    (K, C, height, width) float tensor
        With the dtype of the features.

    Notes
    -----
    Regions of one image with the same number of samples per bin are sampled together, followed by
    average pooling. Samples more than one pixel outside the map are 0, nearer ones take the value
    of the border.

    References
    ----------
    He et al., "Mask R-CNN", ICCV 2017, section 3; the border as in ``roi_align`` of torchvision.
    """
    output = features.new_zeros((len(regions), features.shape[1], height, width))
    if len(regions) == 0:
        # Keep it a function of the features, so that a step without regions has a gradient.
        return output + 0 * features.sum()
    boxes = regions[:, 1:].float() * scale - (0.5 if aligned else 0.0)
    sizes = boxes[:, 2:] - boxes[:, :2]
    if not aligned:
        sizes = sizes.clamp(min=1)
    bins = sizes / sizes.new_tensor([width, height])
    if sampling_ratio > 0:
        n_samples = torch.full_like(bins, sampling_ratio)
    else:
        n_samples = bins.ceil().clamp(min=1)
    groups = torch.cat([regions[:, :1].float(), n_samples], dim=1).long()
    pooled, places = [], []
    for image, across, down in torch.unique(groups, dim=0).tolist():
        own = (groups == groups.new_tensor([image, across, down])).all(dim=1).nonzero()[:, 0]
        n_at_once = _regions_at_once(features, height * down * width * across)
        for part in torch.split(own, n_at_once):
            x = _sample_places(boxes[part, 0], bins[part, 0], width, across)
            y = _sample_places(boxes[part, 1], bins[part, 1], height, down)
            sampled = _sample(features[image], y, x)
            pooled.append(functional.avg_pool2d(sampled, (down, across)))
            places.append(part)
    return output.index_copy(0, torch.cat(places), torch.cat(pooled).to(output.dtype))


def _regions_at_once(features: torch.Tensor, n_samples: int) -> int:
    """Give how many regions to sample at once; all, if the gradient keeps them in memory anyway."""
    if features.requires_grad and torch.is_grad_enabled():
        return 2**31
    return max(1, MOST_SAMPLES // (n_samples * features.shape[1]))


def _sample_places(
    first: torch.Tensor, bin_size: torch.Tensor, n_bins: int, n_samples: int
) -> torch.Tensor:
    """Give the coordinates of all samples along one axis, (K, n_bins * n_samples)."""
    steps = torch.arange(n_bins * n_samples, device=first.device, dtype=first.dtype)
    return first[:, None] + (steps + 0.5) * (bin_size / n_samples)[:, None]


def _sample(image: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Sample an image (C, H, W) at one grid per region, (K, h) and (K, w); gives (K, C, h, w)."""
    n_channels, height, width = image.shape
    n_regions, n_down, n_across = len(y), y.shape[1], x.shape[1]
    shape = (n_regions, n_down, n_across)
    across = (2 * x / max(1, width - 1) - 1)[:, None, :].expand(shape)
    down = (2 * y / max(1, height - 1) - 1)[:, :, None].expand(shape)
    grid = torch.stack([across, down], dim=-1).reshape(1, n_regions * n_down, n_across, 2)
    with torch.autocast(image.device.type, enabled=False):
        sampled = functional.grid_sample(
            image[None].float(), grid, padding_mode="border", align_corners=True
        )
    sampled = sampled.reshape(n_channels, n_regions, n_down, n_across).transpose(0, 1)
    seen_y, seen_x = (y >= -1) & (y <= height), (x >= -1) & (x <= width)
    return sampled * (seen_y[:, :, None] & seen_x[:, None, :])[:, None]
