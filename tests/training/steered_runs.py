"""Runs that are stopped at some step, or are told what their validations find."""

import importlib
from dataclasses import replace

from cellflow.training.validation import Validator

fine_tune_module = importlib.import_module("cellflow.training.fine_tune")


class AskedToStop:
    """Asks the run to stop, as Ctrl-C does, at some step."""

    def __init__(self, monkeypatch, at_step, reason="Ctrl-C"):
        flags = []

        class Flag(fine_tune_module.InterruptFlag):
            def __init__(self, stop_after=None):
                super().__init__(stop_after)
                flags.append(self)

        monkeypatch.setattr(fine_tune_module, "InterruptFlag", Flag)
        self.flags, self.at_step, self.reason = flags, at_step, reason

    def __call__(self, step, numbers):
        if step == self.at_step:
            self.flags[-1].ask(self.reason)


def score_as(monkeypatch, estimates):
    """Let the validations of a run find these scores, one after the other."""
    values, scored = iter(estimates), Validator.score

    def pretend(self, network):
        score = scored(self, network)
        changed = replace(score.overall, mean=replace(score.mean, estimate=next(values)))
        return replace(score, overall=changed)

    monkeypatch.setattr(Validator, "score", pretend)
