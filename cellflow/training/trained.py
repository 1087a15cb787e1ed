"""What the training of any kind of model gives, besides the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellflow.network.model_folder import held_out_images
from cellflow.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The facts of a training.

    Parameters
    ----------
    n_steps : int
        Over all stages.
    n_parameters : int
        Weights of the network, including those that are not trained.
    seconds : float
        Of training, over all sittings and stages.
    device : str
    curve : tuple of (step, seconds, mAP)
        Of the validations on the held-out images; steps and seconds are those of all stages.
    versions : mapping of str to str
    conditions : mapping of str to str
        What a fair comparison has to state and the settings do not say, in words: ``batch``,
        ``augmentation``, ``overlaps`` (how they are resolved), ``most detections`` (in an image, a
        number), ``operators`` (native or fallback), ``learning rate``.
    """

    n_steps: int
    n_parameters: int
    seconds: float
    device: str
    curve: tuple[tuple[int, float, float], ...]
    versions: Mapping[str, str]
    conditions: Mapping[str, str] = field(default_factory=dict)


def role_of_held_out(record: Mapping[str, Any]) -> str:
    """Say how far the score on held-out images is to be trusted, to follow "the score is".

    Parameters
    ----------
    record : mapping
        What the model folder keeps, of a network or of a baseline.

    Notes
    -----
    See docs/decisions/0501-weights-of-the-last-epoch.md.
    """
    run = record["run"]
    if run["kept"] == "best":
        return "too high: the weights were selected on these images"
    if run.get("patience") is not None:
        return "too high: these images decided when training ended"
    start = record["initial_weights"]  # a baseline's is a name
    learnt_before = start["learnt"] if isinstance(start, Mapping) else ()
    if learnt := held_out_images(record).intersection(learnt_before):
        names = counted(len(learnt), "image")
        return f"too high if the initial weights learnt the same images: {names} by their names"
    return "honest: nothing was chosen by these images"
