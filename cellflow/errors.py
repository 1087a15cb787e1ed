"""The exceptions, as one tree.

::

    CellflowError
    ├── DataError            a file or folder of the user
    │   ├── ManifestError    a data set that differs from its manifest
    │   ├── RleError         a run-length encoding
    │   ├── LabelError       a label image or a set of masks
    │   └── ImageError       a picture
    ├── ConfigError          a setting (also a ValueError)
    ├── ModelError           a model folder or a weights file
    │   └── TrainingDiverged a training whose loss is infinite or NaN
    └── SubmissionError      a submission file as a whole

A message names the thing, what was found, what was expected and what to do:
``image 0030fd0e6378: masks are for 520x700, the image is 520x704``.
Only the command line catches them, in one place, and turns them into one line and exit code 1.
"""


class CellflowError(Exception):
    """Base class of all errors that cellflow raises on purpose, with a message for the user."""


class DataError(CellflowError):
    """A file or folder that cannot be used as data."""


class ManifestError(DataError):
    """A data set that differs from its manifest, or a broken manifest."""


class RleError(DataError):
    """A run-length encoding that breaks the format's rules."""


class LabelError(DataError):
    """A label image or set of masks that cannot be used."""


class ImageError(DataError):
    """An image that cannot be read, or has an unexpected form."""


class ConfigError(CellflowError, ValueError):
    """A setting outside its allowed values, or an unknown one."""


class ModelError(CellflowError):
    """A model folder or weights file that is missing or does not fit."""


class TrainingDiverged(ModelError):
    """A training whose loss is infinite or not a number."""


class SubmissionError(CellflowError):
    """A submission that the competition, or the task at hand, would refuse."""
