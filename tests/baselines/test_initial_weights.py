"""Weights of other networks: what fits is taken, under the names that torchvision gives."""

import pytest
import torch

from cellflow.baselines.initial_weights import read_weights, take_weights
from cellflow.errors import ModelError

pytestmark = pytest.mark.usefixtures("needs_torchvision")


@pytest.fixture
def build(tiny_config):
    from cellflow.baselines.cascade import build_cascade
    from cellflow.baselines.detectors import build_mask_rcnn

    settings = tiny_config("mask-rcnn").detector

    def make(model="mask-rcnn", n_classes=3, seed=0):
        function = build_mask_rcnn if model == "mask-rcnn" else build_cascade
        return function(settings, n_classes, seed)

    return make


def test_an_imagenet_classifier_becomes_the_backbone(build):
    from torchvision.models import resnet18

    classifier = resnet18(weights=None)
    network = build()
    taken = take_weights(network, classifier.state_dict(), "resnet18.pth")
    body = network.backbone.body
    assert torch.equal(body.conv1.weight, classifier.conv1.weight)
    assert torch.equal(body.layer4[1].conv2.weight, classifier.layer4[1].conv2.weight)
    assert not any(name.startswith("backbone.body") for name in taken.left)
    assert {name.split(".")[0] for name in taken.left} == {"backbone", "rpn", "roi_heads"}


def test_a_detector_of_other_classes_gives_all_but_its_class_heads(build):
    other, network = build(n_classes=90, seed=5), build()
    taken = take_weights(network, other.state_dict(), "coco.pth")
    assert {".".join(name.split(".")[:2]) for name in taken.left} == {
        "roi_heads.box_predictor",
        "roi_heads.mask_predictor",
    }
    name = "rpn.head.conv.0.0.weight"
    assert torch.equal(network.state_dict()[name], other.state_dict()[name])


def test_names_of_older_torchvision_files_are_known(build):
    state = dict(build(seed=5).state_dict())
    state["rpn.head.conv.weight"] = state.pop("rpn.head.conv.0.0.weight")
    state["rpn.head.conv.bias"] = state.pop("rpn.head.conv.0.0.bias")
    network = build()
    taken = take_weights(network, state, "old.pth")
    assert taken.left == ()
    assert torch.equal(network.rpn.head.conv[0][0].weight, state["rpn.head.conv.weight"])


def test_every_stage_of_a_cascade_begins_with_the_head_of_a_mask_rcnn(build):
    single, cascade = build(seed=5), build("cascade")
    take_weights(cascade, single.state_dict(), "coco.pth")
    for head in cascade.roi_heads.box_heads:
        assert torch.equal(head.fc6.weight, single.roi_heads.box_head.fc6.weight)


def test_weights_of_another_network_are_refused(build):
    with pytest.raises(ModelError, match="none of its 1 tensors fits"):
        take_weights(build(), {"encoder.weight": torch.zeros(3)}, "other.pth")


def test_files_that_wrap_their_weights_are_opened(tmp_path):
    state = {f"layer{k}": torch.zeros(2) for k in range(6)}
    torch.save({"model": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    assert read_weights(str(tmp_path / "checkpoint.pth"), "resnet50").keys() == state.keys()


def test_a_file_without_named_tensors_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="expected named tensors"):
        read_weights(str(tmp_path / "list.pth"), "resnet50")
