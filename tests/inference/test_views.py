"""Views are undone, on vectors too."""

import numpy as np
import pytest
import torch

from cellflow.inference.views import VIEWS
from cellflow.targets.flows import labels_to_flows

by_view = pytest.mark.parametrize("view", VIEWS, ids=range(8))


def draw_cells():
    """Cells without a symmetry: the pixel nearest the middle, their centre, is never a tie."""
    labels = np.zeros((23, 31), np.int32)
    labels[2:9, 3:8], labels[4:7, 8:12] = 1, 1
    labels[11:20, 2:5], labels[18:20, 5:11] = 2, 2
    labels[3:12, 16:29], labels[3:5, 16:19] = 3, 0
    labels[14:22, 18:22], labels[14:16, 22:30], labels[19, 22] = 4, 4, 4
    return labels


def test_the_drawn_cells_have_one_centre_each():
    for label in range(1, 5):
        pixels = np.argwhere(draw_cells() == label)
        distances = np.sort(np.hypot(*(pixels - pixels.mean(axis=0)).T))
        assert distances[1] - distances[0] > 0.01


def test_the_eight_views_are_eight_different_images():
    image = torch.arange(16.0).reshape(4, 4)
    seen = {tuple(view.apply(image).ravel().tolist()) for view in VIEWS}
    assert len(seen) == 8
    assert (VIEWS[0].apply(image) == image).all()
    # The first two and four are closed: applying one after the other gives one of them.
    for n_views in (2, 4):
        first = {tuple(view.apply(image).ravel().tolist()) for view in VIEWS[:n_views]}
        again = {
            tuple(one.apply(other.apply(image)).ravel().tolist())
            for one in VIEWS[:n_views]
            for other in VIEWS[:n_views]
        }
        assert first == again


@by_view
def test_flows_of_a_view_are_undone_as_vectors(view):
    labels = draw_cells()
    expected = labels_to_flows(labels)
    seen = view.apply(torch.from_numpy(labels))
    of_view = torch.from_numpy(np.concatenate([labels_to_flows(seen.numpy()), seen[None] > 0]))
    undone = view.undo(of_view).numpy()
    assert (undone[2] == (labels > 0)).all()
    cosine = (undone[:2] * expected).sum(axis=0)[labels > 0]
    assert cosine.min() > 0.9999
    # Undone as an image, without its vectors, it would be another field.
    if view != VIEWS[0]:
        scalars = [view.undo(torch.stack([plane] * 3))[2] for plane in of_view[:2]]
        assert (torch.stack(scalars).numpy() * expected).sum(axis=0)[labels > 0].min() < 0.5


@by_view
def test_a_vector_points_where_it_did(view):
    # One step from a pixel along its flow, in the view, is the same step in the image.
    flows = torch.zeros(3, 5, 7)
    undone = view.undo(torch.ones_like(view.apply(flows)))
    step = undone[:2, 2, 2].round().int().tolist()
    image = torch.zeros(5, 7)
    image[2, 2] = 1
    y, x = torch.nonzero(view.apply(image))[0].tolist()
    moved = torch.zeros_like(view.apply(image))
    moved[y + 1, x + 1] = 1
    expected = torch.zeros(5, 7)
    expected[2 + step[0], 2 + step[1]] = 1
    assert (view.apply(expected) == moved).all()
