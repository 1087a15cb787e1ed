"""Records of a run that somebody has edited: a sentence that names the file, never a traceback."""

import json

import pytest

from cellflow.errors import CellflowError, ModelError
from cellflow.network.model_folder import ModelFolder, read_model_folder
from cellflow.training.continuation import recorded_config
from cellflow.training.fine_tune import fine_tune
from cellflow.training.initial import initial_weights
from cellflow.training.interruption import StepFinished
from cellflow.training.session import Session

WRONG = (None, True, -1, 1.5, 10**400, float("nan"), "", "x", [], [1], [[]], {}, {"x": 1})
EVERY = 7
"""Of the wrong values of settings one in so many is tried: they all go the same way."""


def places(tree, before=()):
    """Give the keys that lead to every value."""
    for key, value in tree.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from places(value, (*before, key))


def changed(text):
    """Give the text of a JSON file without a key, with another value, and cut short."""
    whole = json.loads(text)
    number = 0
    for *way, last in places(whole):
        for wrong in ("missing", *WRONG):
            number += 1
            if way[:1] in (["config"], ["asked"]) and number % EVERY:
                continue
            tree = json.loads(text)
            inner = tree
            for key in way:
                inner = inner[key]
            if wrong == "missing":
                del inner[last]
            else:
                inner[last] = wrong
            yield json.dumps(tree)
    yield from (text[: len(text) * part // 20] for part in range(20))
    yield from ("[]", "null", "3", '"x"', "{}", "\0", "{" * 5000)


def refusal(call):
    """Give what a call is refused with; empty where it is not."""
    try:
        call()
    except CellflowError as error:
        return str(error)
    return ""


@pytest.fixture
def stopped(disc_folder, tmp_path, small_config, monkeypatch):
    """A run that was stopped after its first step, and what goes on with it, but for training."""
    data, out = disc_folder(3), tmp_path / "run"

    def stop(step, numbers):
        raise StepFinished("Ctrl-C")

    with pytest.raises(StepFinished):
        fine_tune(data, out, small_config(), init="scratch", device="cpu", report=stop)
    monkeypatch.setattr(Session, "run", Session._take_up)
    return out, lambda: fine_tune(data, out, recorded_config(out), device="cpu", resume=True)


def test_a_record_that_was_broken_by_hand_is_never_a_traceback(stopped):
    out, go_on = stopped
    file, told = out / "run.json", []
    for broken in changed(file.read_text(encoding="utf-8")):
        file.write_text(broken, encoding="utf-8")
        told.append(refusal(go_on))
    assert len(told) > 200
    # Some settings may differ, and some values say what the data does not have.
    assert sum("run.json" in one for one in told) > 0.7 * len(told)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("run_key",), 3, r"run_key: expected a string, found 3; restore the file"),
        (("split", "train"), "a", r"split\.train: expected a list of strings, found 'a'"),
        (("split",), [], r"split: expected an object, found \[\]"),
        (("config", "training", "n_epochs"), "9", r"config: training\.n_epochs: expected int"),
        (("config",), 5, r"config: expected sections, found 5"),
    ],
)
def test_the_file_what_was_found_and_what_was_expected_are_named(stopped, keys, value, message):
    out, go_on = stopped
    tree = json.loads((out / "run.json").read_text(encoding="utf-8"))
    inner = tree
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (out / "run.json").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"run\.json: {message}"):
        go_on()


def test_a_checkpoint_that_is_cut_short_and_numbers_that_are_none_are_no_traceback(stopped):
    out, go_on = stopped
    (out / "metrics.csv").write_bytes(b"epoch,step\n1e999,\xff\n")
    go_on()
    last = out / "checkpoints" / "last.pt"
    whole = last.read_bytes()
    for part in range(20):
        last.write_bytes(whole[: len(whole) * part // 20])
        with pytest.raises(ModelError, match=r"last\.pt: "):
            go_on()


def test_a_model_whose_record_was_broken_by_hand_is_no_traceback_as_a_start(
    disc_folder, tmp_path, small_config, monkeypatch
):
    config = small_config(n_epochs=1)
    out = fine_tune(disc_folder(3), tmp_path / "run", config, init="scratch", device="cpu")
    network = read_model_folder(out).load_network()
    monkeypatch.setattr(ModelFolder, "load_network", lambda self: network)
    file, told = out / "config.json", []
    for broken in changed(file.read_text(encoding="utf-8")):
        file.write_text(broken, encoding="utf-8")
        told.append(refusal(lambda: initial_weights(out, config.network, 0)))
    assert sum("config.json" in one for one in told) > 50
