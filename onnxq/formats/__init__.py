"""Number formats, one a file: parameters, oracle, expected error, and the operators that carry them out. numpy only.

Used by ``recipe`` and ``decide``. Importing this package registers the formats that come with onnxq.
"""

from onnxq.formats import (
    affine,
    fixed_point,
    kmeans,
    mid_tread,
    powers_of_two,
    published_mid_tread,
    signed,
    symmetric,
    transformed,
)
from onnxq.formats.base import FORMATS, Format

__all__ = [
    "FORMATS",
    "Format",
    "affine",
    "fixed_point",
    "kmeans",
    "mid_tread",
    "powers_of_two",
    "published_mid_tread",
    "signed",
    "symmetric",
    "transformed",
]
