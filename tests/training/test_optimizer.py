"""Optimisers are PyTorch's own; the average of the weights by its formula."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cellflow.config import TrainingConfig
from cellflow.training.optimizer import AveragedWeights, make_optimizer


def a_network(value=0.0):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.BatchNorm2d(2))
    return set_all(network, value)


def set_all(network, value):
    """Give every weight and running statistic the same value."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(value)
    return network


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", torch.optim.SGD),
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("radam", torch.optim.RAdam),
    ],
)
def test_every_name_stands_for_pytorchs_optimiser_with_the_settings(name, kind):
    config = TrainingConfig(optimizer=name, learning_rate=0.3, weight_decay=0.1, momentum=0.7)
    optimizer = make_optimizer(a_network(), config)
    assert type(optimizer) is kind
    assert optimizer.defaults["lr"] == 0.3
    assert optimizer.defaults["weight_decay"] == 0.1
    if name == "sgd":
        assert optimizer.defaults["momentum"] == 0.7
    else:
        assert optimizer.defaults["betas"] == (0.9, 0.999)


def test_the_average_begins_as_a_copy_and_forgets_the_start_fast_at_first():
    network = a_network(5.0)
    average = AveragedWeights(network, 0.999)
    average.update_parameters(set_all(network, 1.0))
    assert average.module[0].weight.flatten().tolist() == [1, 1]
    average.update_parameters(set_all(network, 0.0))
    assert average.module[0].weight[0].item() == pytest.approx(2 / 11)
    average.update_parameters(network)
    assert average.module[0].weight[0].item() == pytest.approx(2 / 11 * 3 / 12)


def test_later_the_average_keeps_its_decay():
    network = a_network(1.0)
    average = AveragedWeights(network, 0.5)
    average.n_averaged.fill_(100)
    average.module.load_state_dict(network.state_dict())
    average.update_parameters(set_all(network, 0.0))
    assert average.module[0].weight[0].item() == 0.5


def test_batch_statistics_are_averaged_and_counters_copied():
    network = a_network(0.0)
    average = AveragedWeights(network, 0.5)
    average.update_parameters(network)
    set_all(network, 11.0)
    average.update_parameters(network)
    assert average.module[1].running_mean.tolist() == pytest.approx([9, 9])
    assert average.module[1].running_var.tolist() == pytest.approx([9, 9])
    assert average.module[1].num_batches_tracked.item() == 11


class NoCopies(TorchDispatchMode):
    """Refuses what is sent from one device to another."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        assert function is not torch.ops.aten._to_copy.default
        return function(*arguments, **(named or {}))


def test_an_update_sends_nothing_to_the_device():
    network = a_network().to("meta")
    average = AveragedWeights(network, 0.5)
    with NoCopies():
        average.update_parameters(network)
        average.update_parameters(network)
    assert int(average.n_averaged) == 2


def test_the_network_itself_is_left_alone():
    network = a_network(3.0)
    average = AveragedWeights(network, 0.9)
    average.update_parameters(network)
    set_all(average.module, 0.0)
    assert network[0].weight.flatten().tolist() == [3, 3]
