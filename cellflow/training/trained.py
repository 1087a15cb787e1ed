"""What the training of any kind of model gives, besides the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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


def role_of_held_out(kept: str, patience: int | None = None) -> str:
    """Say how far the score on held-out images is to be trusted, to follow "the score is".

    Parameters
    ----------
    kept : {"last", "best"}
        Which weights were kept.
    patience : int, optional
        Validations without a better score after which training ended.

    Notes
    -----
    See docs/decisions/0501-weights-of-the-last-epoch.md.
    """
    if kept == "best":
        return "too high: the weights were selected on these images"
    if patience is not None:
        return "too high: these images decided when training ended"
    return "honest: nothing was chosen by these images"
