"""Decoded, resized and cropped images on disk, so that a second pass over the same ones need not decode.

A file holds the images of one pass: uint8 [N, H, W, channels] as .npy, under a name that is a hash of what they were
made from (paths, sizes and times of the image files; the preprocessing), and behind them their CRC-32. It is written
whole or not at all; a damaged one is made anew.
A part of ``data``.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from onnxq._version import __version__
from onnxq.core.files import move_into_place, tempfile_beside
from onnxq.data.datasets.base import Dataset
from onnxq.data.decoding import Decoded
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError

CHECKSUM_BYTES = 4


def cache_path(folder: Path, dataset: Dataset, preprocessing: Preprocessing, indices: Sequence[int]) -> Path:
    """Where these images are kept."""
    digest = hashlib.sha256(f"{__version__} {sorted(preprocessing.to_metadata().items())}".encode())
    for index in indices:
        digest.update(f"{dataset.stamp(index)}\n".encode())
    return folder / f"onnxq-images-{digest.hexdigest()[:32]}.npy"


def cached(
    path: Path, groups: Sequence[Sequence[int]], decode: Callable[[], Generator[list[Decoded], None, None]]
) -> Generator[list[Decoded], None, None]:
    """The images of each group: from the file, or decoded and, once all are there, written to it.

    Nothing is written where an image cannot be decoded, or sizes differ.

    Raises:
        OnnxqError: the folder cannot be written.
    """
    known = _read(path, sum(map(len, groups)))
    if known is not None:
        start = 0
        for group in groups:
            yield list(known[start : start + len(group)])
            start += len(group)
        return
    with _new_file(path) as (temporary, file):
        shapes: set[tuple[int, ...] | None] = set()
        whole, checksum = False, 0
        for images in decode():
            shapes |= {image.shape if _is_pixels(image) else None for image in images}
            whole = len(shapes) == 1 and None not in shapes
            if whole:
                with _said(path):
                    checksum = _append(file, images, sum(map(len, groups)), checksum)
            yield images
        if whole:
            with _said(path):
                file.write(_checksum_bytes(checksum))
                file.flush()
                move_into_place(temporary, path)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OnnxqError(f"`cache` {path.parent}: cannot be written ({error.strerror})") from error


@contextmanager
def _new_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    with _said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile_beside(path) as temporary, _said(path), temporary.open("wb") as file:  # closing writes, too
        yield temporary, file


def _is_pixels(image: Decoded) -> TypeGuard[NDArray[np.uint8]]:
    return isinstance(image, np.ndarray) and image.dtype == np.uint8


def _append(file: BinaryIO, images: list[Any], count: int, checksum: int) -> int:
    """Pixels to a .npy file that will hold ``count`` images; the checksum of all that are there."""
    if file.tell() == 0:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *images[0].shape)}
        np.lib.format.write_array_header_1_0(file, header)
    for image in images:
        content = image.tobytes()
        checksum = zlib.crc32(content, checksum)
        file.write(content)
    return checksum


def _read(path: Path, count: int) -> NDArray[np.uint8] | None:
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(images, np.memmap) or images.dtype != np.uint8 or images.ndim != 4 or len(images) != count:
            return None
        with path.open("rb") as file:
            file.seek(images.offset + images.nbytes)
            known = file.read(CHECKSUM_BYTES + 1)
        whole = known == _checksum_bytes(zlib.crc32(images.data))
    except Exception:  # not there, or damaged in one of many ways: it is made anew
        return None
    return images if whole else None


def _checksum_bytes(checksum: int) -> bytes:
    return checksum.to_bytes(CHECKSUM_BYTES, "little")
