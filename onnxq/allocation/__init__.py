"""Allocations of bits to channels, one a file. numpy only.

Used by ``recipe`` and ``decide``. Importing this package registers the allocations that come with onnxq.
"""

from onnxq.allocation import by_error, by_spread, published
from onnxq.allocation.base import ALLOCATIONS, Allocation

__all__ = ["ALLOCATIONS", "Allocation", "by_error", "by_spread", "published"]
