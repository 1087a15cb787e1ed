"""How fast training goes, and whether the device waits for images."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Throughput:
    """How long the steps of an epoch took; a continued epoch counts from where it continues.

    Parameters
    ----------
    n_images : int
        Crops that were trained on.
    seconds : float
        Wall-clock time of the steps, without validation and files.
    waiting : float
        Part of it in which the loop waited for a batch. A GPU meanwhile computes what it was sent,
        so this is the longest time that it can have been idle for lack of images.
    """

    n_images: int = 0
    seconds: float = 0.0
    waiting: float = 0.0

    def add_step(self, n_images: int, seconds: float, waiting: float) -> None:
        """Count one step."""
        self.n_images += n_images
        self.seconds += seconds
        self.waiting += waiting

    @property
    def images_per_second(self) -> float:
        """Crops a second; 0 before the first step."""
        return self.n_images / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """Share of the time spent waiting for batches, 0 to 1."""
        return self.waiting / self.seconds if self.seconds else 0.0
