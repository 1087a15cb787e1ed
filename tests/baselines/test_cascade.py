"""The cascade: three stages, each stricter, and the mean of what they say."""

import pytest
import torch

pytestmark = pytest.mark.usefixtures("needs_torchvision")


@pytest.fixture
def heads(tiny_config):
    from cellflow.baselines.cascade import build_cascade

    return build_cascade(tiny_config("cascade-mask-rcnn").detector, 3, seed=0).roi_heads


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return {str(k): torch.randn((1, 32, 32 >> k, 32 >> k), generator=generator) for k in range(4)}


BOXES = torch.tensor([[10.0, 10.0, 40.0, 40.0], [60.0, 60.0, 90.0, 100.0]])
MASKS = torch.zeros((2, 128, 128), dtype=torch.uint8)
MASKS[0, 10:41, 10:41] = MASKS[1, 60:101, 60:91] = 1
TARGETS = [{"boxes": BOXES, "labels": torch.tensor([1, 3]), "masks": MASKS}]


def test_weights_leave_the_generators_of_gpus_as_they_are(tiny_config, monkeypatch):
    from cellflow.baselines.cascade import build_cascade

    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    build_cascade(tiny_config("cascade-mask-rcnn").detector, 3, seed=0)
    assert seeds == []


def moved(x):
    """Give the first cell's box moved: its IoU is 0.82 for 3, 0.64 for 6.5, 0.52 for 9.5."""
    return BOXES[:1] + torch.tensor([x, 0.0, x, 0.0])


@pytest.mark.parametrize(
    ("x", "labels"), [(3.0, [1, 1, 1]), (6.5, [1, 1, 0]), (9.5, [1, 0, 0]), (20.0, [0, 0, 0])]
)
def test_later_stages_take_a_box_for_a_cell_at_a_stricter_overlap(heads, x, labels):
    found = [heads._match_again(stage, [moved(x)], TARGETS)[0][0].item() for stage in range(3)]
    assert found == labels


def test_each_stage_codes_the_same_correction_in_its_own_weights(heads):
    wanted = [heads._match_again(stage, [moved(3.0)], TARGETS)[1][0][0] for stage in range(3)]
    torch.testing.assert_close(wanted[1], 2 * wanted[0])
    torch.testing.assert_close(wanted[2], 3 * wanted[0])
    assert wanted[0][0] == pytest.approx(10 * -3 / 30)


def test_a_correction_that_is_decoded_is_the_box_that_was_wanted(heads):
    for stage in range(3):
        _, [correction] = heads._match_again(stage, [moved(3.0)], TARGETS)
        [box] = heads._correct(stage, correction, [moved(3.0)], [(128, 128)])
        torch.testing.assert_close(box, BOXES[:1], atol=1e-3, rtol=0)


def test_a_box_without_extent_gives_a_finite_correction(heads):
    flat = torch.tensor([[10.0, 10.0, 10.0, 40.0]])
    for stage in range(3):
        assert torch.isfinite(heads._match_again(stage, [flat], TARGETS)[1][0]).all()


def test_an_image_without_cells_is_background_in_every_stage(heads):
    empty = [{"boxes": torch.zeros((0, 4)), "labels": torch.zeros(0, dtype=torch.int64)}]
    for stage in range(3):
        [labels], [wanted] = heads._match_again(stage, [BOXES], empty)
        assert labels.tolist() == [0, 0]
        assert torch.isfinite(wanted).all()


def test_the_losses_are_those_of_three_stages_and_the_masks(heads, features):
    heads.train()
    _, losses = heads(features, [moved(3.0)], [(128, 128)], TARGETS)
    stages = {f"loss_{part}_{k}" for part in ("classifier", "box_reg") for k in (1, 2, 3)}
    assert set(losses) == {"loss_mask", *stages}
    sum(losses.values()).backward()
    assert all(each.grad is not None for each in heads.parameters())


def test_the_first_stage_counts_four_times_the_last(heads, features, monkeypatch):
    from cellflow.baselines import cascade

    one = torch.ones((), requires_grad=True)
    monkeypatch.setattr(cascade, "stage_losses", lambda *_: (one, one))
    heads.train()
    _, losses = heads(features, [moved(3.0)], [(128, 128)], TARGETS)
    assert [losses[f"loss_classifier_{k}"].item() for k in (1, 2, 3)] == [1.0, 0.5, 0.25]


def test_the_class_is_the_mean_of_what_the_stages_say(heads, features):
    heads.eval()
    for stage, kind in enumerate((1, 1, 2)):
        predictor = heads.box_predictors[stage]
        for each in predictor.parameters():
            torch.nn.init.zeros_(each)
        predictor.cls_score.bias.data[kind] = 50.0
    [found], losses = heads(features, [BOXES], [(128, 128)])
    assert losses == {}
    # Each of the two boxes is of class 1 with two thirds, of class 2 with one third.
    assert found["labels"].tolist() == [1, 1, 2, 2]
    torch.testing.assert_close(found["scores"], torch.tensor([2, 2, 1, 1]) / 3)
    # Nothing was corrected.
    torch.testing.assert_close(found["boxes"][:2], BOXES, atol=1e-3, rtol=0)
    assert found["masks"].shape == (4, 1, 28, 28)


def test_stage_losses_are_those_by_hand():
    from cellflow.baselines.cascade import stage_losses

    logits = torch.zeros((2, 4))
    corrections, wanted = torch.zeros((2, 4)), torch.tensor([[1.0, 0, 0, 0], [9.0, 9, 9, 9]])
    class_loss, box_loss = stage_losses(logits, corrections, [torch.tensor([2, 0])], [wanted])
    assert class_loss.item() == pytest.approx(1.3862944)  # log 4
    # Only the first box lies on a cell: |1| - beta / 2, over two boxes.
    assert box_loss.item() == pytest.approx((1 - 1 / 18) / 2)
