"""Plain errors for graphs that are not what their operators say. A part of ``graph``, used where models are read.

The parts of ``graph`` take models to be valid. A file with a flipped bit, or of a careless program, breaks what they
rely on in more ways than can be looked for: a parameter of the wrong length, an attribute missing, another rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from onnxq.errors import OnnxqError, first_line


@contextmanager
def understanding() -> Iterator[None]:
    """Within it, errors of any kind are those of the model.

    Raises:
        OnnxqError: in their place.
    """
    try:
        yield
    except (OnnxqError, MemoryError):
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {first_line(error)[:200]}"
        raise OnnxqError(
            f"onnxq does not understand the model: {problem}; if ONNX Runtime runs it, please report this"
        ) from error
