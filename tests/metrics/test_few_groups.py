"""What is said of intervals that rest on few independent groups of images."""

import pytest

from cellflow.metrics.few_groups import (
    SIMULATED_COVERAGE,
    coverage_remark,
    independence_remark,
    n_groups,
)


def test_images_of_one_cluster_are_one_group_and_those_without_are_their_own():
    assert n_groups([None] * 4) == 4
    assert n_groups([f"w{k // 3}" for k in range(30)]) == 10
    assert n_groups([None] * 10 + ["w", "w"]) == 11


@pytest.mark.parametrize(("n_images", "simulated"), [(2, 2), (9, 8), (20, 20)])
def test_few_groups_are_told_with_what_was_simulated_of_as_many_or_fewer(n_images, simulated):
    least, most = (f"{100 * share:.0f}" for share in SIMULATED_COVERAGE[simulated])
    (remark,) = coverage_remark([None] * n_images)
    assert remark == (
        f"with {n_images} independent groups of images, 95 % intervals held the truth in {least} "
        f"to {most} % of simulations"
    )


@pytest.mark.parametrize("n_images", [1, max(SIMULATED_COVERAGE) + 1, 606])
def test_one_group_and_many_need_no_remark(n_images):
    assert coverage_remark([None] * n_images) == []


def test_wells_count_not_images():
    (remark,) = coverage_remark([f"w{k % 5}" for k in range(606)])
    assert remark.startswith("with 5 independent groups")


def test_images_of_unknown_wells_are_said_to_be_taken_as_independent():
    (remark,) = independence_remark([None, None])
    assert remark.startswith("no groups of images are known, such as those of one plate and well: ")
    assert independence_remark(["w", None]) == independence_remark([None]) == []
