"""Reading .npz files of strangers: what a member claims is compared with its size before memory is taken for it.

A ground module, called where statistics and arrays of images are read.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError, first_line

KINDS = "biufU"  # booleans, numbers and text: no objects
LONGEST_HEADER = 10_000  # bytes
ENCRYPTED = 1  # flag of a member


class ArrayFile:
    """The arrays of an open .npz file, read one by one."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    @property
    def names(self) -> list[str]:
        """Of all arrays."""
        return [name.removesuffix(".npy") for name in self._archive.namelist() if name.endswith(".npy")]

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.namelist()

    def read(self, name: str, most: int) -> NDArray[Any]:
        """An array by its name.

        Args:
            most: bytes that it may take.

        Raises:
            ValueError: it is missing, damaged, too large, or of objects; or another error of damaged archives.
        """
        if name not in self:
            raise ValueError(f"no array {name!r} in it")
        member = self._archive.getinfo(f"{name}.npy")
        if member.file_size > most + LONGEST_HEADER:
            raise ValueError(f"{name!r} takes {member.file_size} bytes, more than the {most} it may have")
        if member.flag_bits & ENCRYPTED:
            raise ValueError(f"{name!r} is encrypted")
        with self._archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in read_header:
                raise ValueError(f"version {version} of the format")
            shape, fortran, dtype = read_header[version](stream, max_header_size=LONGEST_HEADER)
            size = math.prod(shape) * dtype.itemsize
            if dtype.kind not in KINDS or dtype.hasobject or min(shape, default=0) < 0:
                raise ValueError(f"{name!r} is of {dtype} {shape}")
            if size > most or size > member.file_size:
                raise ValueError(f"{name!r} claims {size} bytes")
            content = stream.read(size)
            if len(content) != size or stream.read(1):
                raise ValueError(f"{name!r} has not the size that it claims")
        array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
        return array.astype(dtype.newbyteorder("="), copy=True)  # in this machine's order, and writable


@contextmanager
def opened(path: str | Path, kind: str) -> Iterator[ArrayFile]:
    """The arrays of a file.

    Args:
        kind: what it should be, for messages.

    Raises:
        OnnxqError: it is missing, unreadable or damaged.
    """
    where = Path(path)
    try:
        if where.exists() and not where.is_file():
            raise OnnxqError(f"{path}: not a file")
        with zipfile.ZipFile(where) as archive:
            yield ArrayFile(archive)
    except FileNotFoundError as error:
        raise OnnxqError(f"{path}: no such file; it should be {kind}") from error
    except PermissionError as error:
        raise OnnxqError(f"{path}: cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise OnnxqError(f"{path}: too large for this machine's memory") from error
    except OnnxqError:
        raise
    except Exception as error:  # zipfile, zlib, and numpy's reader of headers have errors of many kinds
        raise OnnxqError(f"{path}: not {kind}, or a damaged one ({first_line(error)})") from error
