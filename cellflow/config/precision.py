"""Number formats, for training and for prediction."""

from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
