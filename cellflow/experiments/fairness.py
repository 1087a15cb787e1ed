"""Sentences, printed with every table, on what the variants have in common and what they do not.

Every sentence begins with "same" or with "not the same", and then names who has what.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cellflow.configfile import changes_from_default
from cellflow.experiments.family import changed
from cellflow.experiments.flow_families import begins_trained, flow_conditions
from cellflow.experiments.plan import FOLDER_OPTIONS, PREDICT_SECTIONS, Variant
from cellflow.experiments.results import VariantResult, ended, image_facts
from cellflow.experiments.search import Search
from cellflow.training.initial import DEFAULT_INIT, SCRATCH
from cellflow.wording import counted, some_of

SAME_TIME = 1.1
"""Trainings whose minutes differ by at most this factor count as taking the same time."""

RANDOM_WEIGHTS = (SCRATCH, "random")
"""The names of random initial weights, of flow networks and of baselines."""

_FLOWS = ("cellflow", "cellpose")


def fairness(
    results: Sequence[VariantResult], variants: Sequence[Variant], searched: Sequence[Search]
) -> list[str]:
    """Give one sentence per condition.

    Parameters
    ----------
    results : sequence of VariantResult
    variants : sequence of Variant
        Of the experiment; results refer to them by name.
    searched : sequence of Search
    """
    known = {variant.name: variant for variant in variants}
    shown = _shown_paths(variants)

    def each(value: Callable[[VariantResult, Variant], str]) -> dict[str, str]:
        return {result.name: value(result, known[result.name]) for result in results}

    def told(key: str) -> dict[str, str]:
        return each(lambda r, v: conditions(r, v).get(key, "not told"))

    return [
        _line("held-out images", _images(results)),
        _line("folds and seeds", each(lambda r, _: _folds_and_seeds(r))),
        _line("images to train on", each(lambda r, _: _n_train(r))),
        _line("start and other data", each(lambda _, v: _start(v, shown))),
        _line("length", each(_length)),
        _minutes(results),
        _line("device", each(lambda r, _: _device(r))),
        _line("augmentation", told("augmentation")),
        _line("choice of weights", each(lambda _, v: _kept(v))),
        _thresholds(results, known, searched),
        _line("rule for overlaps", told("overlaps")),
        _detections(results, known),
        _line("operators", told("operators")),
    ]


def conditions(result: VariantResult, variant: Variant) -> Mapping[str, str]:
    """Give `Trained.conditions`; where all trainings diverged, those that a flow network had."""
    told: Mapping[str, str] = ended(result.rows)[0].facts["conditions"]
    if told or variant.family not in _FLOWS:
        return told
    is_trained = begins_trained(variant.family, variant.options)
    return flow_conditions(variant.config, is_trained=is_trained)


def _line(what: str, of: Mapping[str, str]) -> str:
    """Say that all have the same, or who has what."""
    values = list(dict.fromkeys(of.values()))
    if len(values) == 1:
        return f"same {what}: {values[0]}"
    told = [
        f"{value} ({some_of([repr(name) for name in of if of[name] == value])})" for value in values
    ]
    return f"not the same {what}: {'; '.join(told)}"


def _images(results: Sequence[VariantResult]) -> dict[str, str]:
    sets = {result.name: frozenset(image_facts(result.rows)) for result in results}
    everything = frozenset[str]().union(*sets.values())
    if all(images == everything for images in sets.values()):
        return dict.fromkeys(sets, counted(len(everything), "image"))
    return {name: f"{len(images)} of {len(everything)}" for name, images in sets.items()}


def _folds_and_seeds(result: VariantResult) -> str:
    folds = {row.fold for row in result.rows}
    seeds = ", ".join(map(str, sorted({row.seed for row in result.rows})))
    return f"{counted(len(folds), 'fold')}, seeds {seeds}"


def _n_train(result: VariantResult) -> str:
    return _range([row.facts["n_train"] for row in result.rows]) + " a fold"


def _start(variant: Variant, shown: Mapping[str, str]) -> str:
    default = {"cellflow": DEFAULT_INIT}.get(variant.family, SCRATCH)
    init = variant.options.get("init", default)
    names = [f"from {'random weights' if init in RANDOM_WEIGHTS else shown.get(init, init)}"]
    for key in FOLDER_OPTIONS:
        names += [f"{key} {shown[folder]}" for folder in variant.options.get(key, ())]
    return ", ".join(names)


def _shown_paths(variants: Iterable[Variant]) -> dict[str, str]:
    """Shorten each path to its last part; paths that would become equal stay whole."""
    paths = {
        path
        for variant in variants
        for key in ("init", *FOLDER_OPTIONS)
        for path in _as_list(variant.options.get(key, ()))
    }
    ends = Counter(Path(path).name for path in paths)
    return {path: Path(path).name if ends[Path(path).name] == 1 else path for path in paths}


def _as_list(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _length(result: VariantResult, variant: Variant) -> str:
    steps = f"{_range([row.facts['n_steps'] for row in result.rows])} steps"
    batch = conditions(result, variant).get("batch")
    text = f"{steps} of {batch}" if batch else steps
    # From the rows, not the variant: a stored result keeps its own time budget.
    asked = [row.settings["config"]["training"].get("max_minutes") for row in result.rows]
    budgets = {minutes for minutes in asked if minutes is not None}
    told = " or ".join(f"{budget:g}" for budget in sorted(budgets))
    return f"{text}, planned to take {told} min" if budgets else text


def _minutes(results: Sequence[VariantResult]) -> str:
    minutes = {result.name: result.minutes for result in results}
    least, most = min(minutes, key=minutes.__getitem__), max(minutes, key=minutes.__getitem__)
    if minutes[most] <= SAME_TIME * minutes[least]:
        return f"same time of training: {minutes[least]:.1f} to {minutes[most]:.1f} min"
    return (
        f"not the same time of training: {minutes[least]:.1f} min ({least!r}) to "
        f"{minutes[most]:.1f} min ({most!r}), with whatever else the machine did"
    )


def _device(result: VariantResult) -> str:
    """Give the device of the training, ignoring trainings that diverged."""
    devices = [r.facts["device"] for r in result.rows if not r.facts.get("diverged")]
    return " and ".join(sorted(set(devices))) or "none"


def _kept(variant: Variant) -> str:
    training = variant.config.training
    own = variant.options.get("settings", {}).get("training", {})  # of a baseline
    if "best" in (training.keep, own.get("keep")):
        return "of the best validation on the held-out images, so its mAP is too high"
    if training.patience is not None:
        return "the held-out images ended the training, so its mAP is too high"
    return "those of the last step"


def _thresholds(
    results: Sequence[VariantResult], known: Mapping[str, Variant], searched: Sequence[Search]
) -> str:
    if not searched:
        asked = {r.name: _asked(known[r.name]) for r in results}
        return _line("thresholds, none of them tuned here", asked)
    counts = {search.name: counted(search.n_candidates, "setting") for search in searched}
    return _line("choice on the other folds, the same for all, among", counts)


def _asked(variant: Variant) -> str:
    """Give all settings of prediction that differ from the defaults, wherever they are set."""
    asked: Mapping[str, Mapping[str, Any]] = variant.predict
    if variant.family in _FLOWS:
        whole = changes_from_default(changed(variant.config, variant.predict))
        asked = {name: whole[name] for name in PREDICT_SECTIONS if name in whole}
    elif cells := variant.options.get("settings", {}).get("cells"):
        asked = {"cells": cells, **asked}
    changes = [f"{key} = {value}" for part in asked.values() for key, value in part.items()]
    return ", ".join(changes) or "those of the settings"


def _detections(results: Sequence[VariantResult], known: Mapping[str, Variant]) -> str:
    """Say whether a limit on detections affects the densest image."""
    truths = [image["n_truths"] for r in results for image in image_facts(r.rows).values()]
    densest, parts, cut = max(truths), [], False
    for result in results:
        found = max(image["n_predicted"] for row in result.rows for image in row.images.values())
        limit = conditions(result, known[result.name]).get("most detections")
        if limit is not None:
            parts.append(f"{result.name!r} at most {limit}, {found} seen")
            cut |= int(limit) <= densest
    head = f"limit of detections above the densest image ({counted(densest, 'cell')})"
    if not parts:
        return f"same {head}: none has a limit"
    return f"{'not the same' if cut else 'same'} {head}: {'; '.join(parts)}"


def _range(values: Sequence[int]) -> str:
    low, high = int(np.min(values)), int(np.max(values))
    return str(low) if low == high else f"{low} to {high}"
