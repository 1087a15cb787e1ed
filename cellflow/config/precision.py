"""Number formats, for training and for prediction."""

from typing import Literal

Precision = Literal["auto", "float32", "float16", "bfloat16"]
UnscaledPrecision = Literal["auto", "float32", "bfloat16"]
"""Those in which a loss trains as it is; in float16 it must be scaled."""
