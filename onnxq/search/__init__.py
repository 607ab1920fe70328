"""Search: the same network at several precisions, each file evaluated. Called by the command line.

``widths`` asks how many bits are enough; ``progressive`` which layers cost what.
"""

from onnxq.search.trials import AT_ONCE, Trial, Trials
from onnxq.search.variants import Variant, progressive, widths

__all__ = ["AT_ONCE", "Trial", "Trials", "Variant", "progressive", "widths"]
