"""Decoded, resized and cropped images on disk, so that a second pass over the same ones need not decode.

A file holds the images of one pass: uint8 [N, H, W, channels] as .npy, under a name that is a hash of what they were
made from (paths, sizes and times of the image files; the preprocessing). It is written whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import onnxq
from onnxq.datasets.base import Dataset
from onnxq.decoding import Decoded
from onnxq.errors import OnnxqError
from onnxq.files import move_into_place, tempfile_beside
from onnxq.preprocessing import Preprocessing


def cache_path(folder: Path, dataset: Dataset, preprocessing: Preprocessing, indices: Sequence[int]) -> Path:
    """Where these images are kept."""
    digest = hashlib.sha256(f"{onnxq.__version__} {sorted(preprocessing.to_metadata().items())}".encode())
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile_beside(path) as temporary, temporary.open("wb") as file:
            shapes = set()
            for images in decode():
                shapes |= {image.shape if isinstance(image, np.ndarray) else None for image in images}
                if len(shapes) == 1 and None not in shapes:
                    _append(file, images, sum(map(len, groups)))
                yield images
            if len(shapes) == 1 and None not in shapes:
                file.flush()
                move_into_place(temporary, path)
    except OSError as error:
        raise OnnxqError(f"--cache {path.parent}: cannot be written ({error.strerror})") from error


def _append(file: BinaryIO, images: list[Any], count: int) -> None:
    """Pixels to a .npy file that will hold ``count`` images."""
    if file.tell() == 0:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *images[0].shape)}
        np.lib.format.write_array_header_1_0(file, header)
    for image in images:
        file.write(image.tobytes())


def _read(path: Path, count: int) -> NDArray[np.uint8] | None:
    try:
        images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):  # not there, or damaged: it is made anew
        return None
    return images if images.dtype == np.uint8 and images.ndim == 4 and len(images) == count else None
