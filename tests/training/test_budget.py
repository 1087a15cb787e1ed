"""The time budget: what is planned fits, and what does not fit is never planned."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.training.budget import (
    N_TIMED_STEPS,
    N_WARMUP_STEPS,
    VALIDATION_SHARE,
    Pace,
    Plan,
    plan_epochs,
)

WANTED = Plan(n_epochs=200, validate_every=10)


def pace(max_seconds, step_seconds, n_steps=10, n_seen=20, wanted=WANTED):
    made = Pace(wanted, n_steps, max_seconds)
    for _ in range(n_seen):
        made.add_step(step_seconds)
    return made


def test_a_roomy_budget_leaves_the_wanted_plan():
    assert (
        plan_epochs(1e6, epoch_seconds=1, validation_seconds=1, epochs_done=0, wanted=WANTED)
        == WANTED
    )


def test_a_tight_budget_shortens_the_run():
    plan = plan_epochs(100, epoch_seconds=2, validation_seconds=0, epochs_done=0.2, wanted=WANTED)
    assert plan == Plan(n_epochs=46, validate_every=10)


def test_costly_validations_become_rare_but_the_last_one_has_its_time():
    plan = plan_epochs(100, epoch_seconds=1, validation_seconds=20, epochs_done=0, wanted=WANTED)
    assert plan.validate_every == 80
    assert plan.n_epochs == 57


def test_the_open_epoch_is_planned_even_when_nothing_fits():
    plan = plan_epochs(-5, epoch_seconds=3, validation_seconds=1, epochs_done=4.5, wanted=WANTED)
    assert plan.n_epochs == 5


@given(
    seconds=st.floats(1, 1e5),
    epoch=st.floats(1e-3, 100),
    validation=st.floats(0, 500),
    done=st.floats(0, 150),
)
def test_what_is_planned_fits_unless_it_is_the_least_possible(seconds, epoch, validation, done):
    plan = plan_epochs(
        seconds, epoch_seconds=epoch, validation_seconds=validation, epochs_done=done, wanted=WANTED
    )
    n_more = plan.n_epochs - done
    took = n_more * epoch + (n_more // plan.validate_every + 1) * validation
    assert plan.n_epochs <= WANTED.n_epochs
    assert took <= seconds + 1e-6 or plan.n_epochs == int(done) + 1


def test_the_plan_is_made_once_after_the_first_timed_steps():
    made = Pace(WANTED, 10, 60.0)
    times, planned = [], []
    for _ in range(20):
        made.add_step(0.1)
        times.append(made.is_time_to_plan)
        planned.append(made.is_planned)
    assert times.count(True) == 1
    assert times.index(True) == N_WARMUP_STEPS + N_TIMED_STEPS - 1
    # Known to whoever is told of the step after the plan.
    assert planned.index(True) == times.index(True) + 1


def test_the_slow_first_steps_do_not_count():
    made = Pace(WANTED, 10, 60.0)
    for seconds in (30.0, 5.0, 0.1, 0.1, 0.1):
        made.add_step(seconds)
    assert made.step_seconds == pytest.approx(0.1)


def test_a_machine_that_becomes_slower_gets_a_shorter_plan():
    made = pace(100, 0.1)
    first = made.plan(0, 0, WANTED)
    for _ in range(50):
        made.add_step(0.2)
    assert made.plan(30, 30, first).n_epochs < first.n_epochs


def test_a_run_grows_only_early_and_by_more_than_a_little():
    made = pace(100, 0.1)
    assert made.plan(0, 1, Plan(n_epochs=50, validate_every=10)).n_epochs > 90
    assert made.plan(0, 1, Plan(n_epochs=90, validate_every=10)).n_epochs == 90
    assert made.plan(30, 40, Plan(n_epochs=50, validate_every=10)).n_epochs == 50
    assert made.plan(30, 30, Plan(n_epochs=50, validate_every=10)).n_epochs > 90


def test_what_follows_the_last_validation_has_its_time():
    made = pace(100, 0.1)
    longest = made.plan(10, 1, WANTED).n_epochs
    made.closing_seconds = 45.0
    assert made.plan(10, 1, WANTED).n_epochs == pytest.approx(longest / 2, abs=2)


def test_validations_are_counted_from_the_last_one_however_the_plan_changes():
    made, last, validated = pace(1000, 0.1, n_steps=1), 0, []
    for n_done in range(1, 101):
        plan = Plan(n_epochs=100, validate_every=10 if n_done < 25 else 13)
        if made.is_validation_due(n_done, last, plan):
            last = n_done
            validated.append(n_done)
    # Not 26, which 13 divides, nor 98, just before the end.
    assert validated == [10, 20, 33, 46, 59, 72, 85, 100]


def test_no_validation_comes_shortly_before_the_last_nor_before_the_plan():
    plan = Plan(n_epochs=14, validate_every=10)
    assert not pace(1000, 0.1).is_validation_due(10, 0, plan)
    assert pace(1000, 0.1).is_validation_due(9, 0, Plan(n_epochs=14, validate_every=9))
    assert pace(1000, 0.1).is_validation_due(14, 0, plan)
    unplanned = pace(1000, 0.1, n_seen=N_WARMUP_STEPS + N_TIMED_STEPS)
    assert not unplanned.is_validation_due(9, 0, Plan(n_epochs=14, validate_every=9))


@given(every=st.integers(1, 40), n_epochs=st.integers(1, 200))
def test_without_a_budget_every_so_manieth_epoch_is_validated_and_the_last(every, n_epochs):
    made, last, validated = Pace(WANTED, 10), 0, []
    for n_done in range(1, n_epochs + 1):
        if made.is_validation_due(n_done, last, Plan(n_epochs=n_epochs, validate_every=every)):
            last = n_done
            validated.append(n_done)
    assert validated == sorted({*range(every, n_epochs + 1, every), n_epochs})


@given(seed=st.integers(0, 1000), validation=st.floats(0.1, 30), step=st.floats(0.1, 2))
def test_validations_on_the_way_take_about_their_share_on_an_uneven_machine(seed, validation, step):
    rng, wanted = random.Random(seed), Plan(n_epochs=200, validate_every=5)
    made, plan, seconds, spent, last = Pace(wanted, 4, 300.0), wanted, 0.0, 0.0, 0
    made.validation_seconds = validation
    for n_done in range(1, 201):
        for _ in range(4):
            took = step * rng.uniform(0.7, 1.3)
            made.add_step(took)
            seconds += took
        if n_done == plan.n_epochs or made.is_over(seconds):
            break
        if made.is_validation_due(n_done, last, plan):
            made.validation_seconds = took = validation * rng.uniform(0.8, 1.2)
            seconds, spent, last = seconds + took, spent + took, n_done
        if made.is_planned:
            plan = made.plan(seconds, n_done, plan)
    assert spent <= 1.3 * VALIDATION_SHARE * seconds


def test_time_is_over_when_only_the_last_validation_still_fits():
    made = pace(100, 0.1)
    assert not made.is_over(95)
    made.validation_seconds = 10.0
    assert made.is_over(95)
    assert not made.is_over(80)
    made.closing_seconds = 15.0
    assert made.is_over(80)
    assert not Pace(WANTED, 10).is_over(1e9)
