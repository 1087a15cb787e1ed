"""Images a second and the share of waiting."""

from cellflow.training.throughput import Throughput


def test_before_the_first_step_nothing_is_known():
    assert Throughput().images_per_second == 0
    assert Throughput().waiting_share == 0


def test_steps_add_up():
    seen = Throughput()
    seen.add_step(8, seconds=2.0, waiting=0.5)
    seen.add_step(8, seconds=2.0, waiting=0.0)
    assert seen.images_per_second == 4
    assert seen.waiting_share == 0.125
