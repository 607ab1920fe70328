"""ImageNet's validation set as the published fixed-point system has it: one pickle of JPEG strings and labels."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from onnxq.data.datasets.folder import decoded_image
from onnxq.data.datasets.pickled import read_batch
from onnxq.errors import OnnxqError

CLASSES = 1000
LARGEST = 2**33  # bytes of the file; 50,000 images of 224 x 224 pixels take one to two gigabytes


class Val224:
    """A dictionary of two lists: ``data``, a JPEG file each, and ``target``, a class each.

    The pickle is read without an unpickler: nothing in it is executed.

    Raises:
        OnnxqError: the file is missing, damaged, or something else.
    """

    class_count = CLASSES
    in_memory = True

    def __init__(self, path: Path) -> None:
        self.name = f"val224:{path}"
        try:
            content = read_batch(path, what="a validation set of JPEG strings", largest=LARGEST)
        except (FileNotFoundError, IsADirectoryError) as error:
            problem = "a folder" if path.is_dir() else "no such file"
            raise OnnxqError(f"{path}: {problem}; `data` val224:FILE wants the pickle of JPEG strings") from error
        files, labels = (content.get(key, content.get(key.encode())) for key in ("data", "target"))
        if not isinstance(files, list) or not files or not all(isinstance(each, bytes) for each in files):
            raise OnnxqError(f"{path}: 'data' must be a list of JPEG strings")
        if not isinstance(labels, list) or len(labels) != len(files) or not all(map(_is_class, labels)):
            raise OnnxqError(f"{path}: 'target' must be a class from 0 to {CLASSES - 1} for each image")
        facts = path.stat()
        self._files, self._labels = files, labels
        self._stamp = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"

    def __len__(self) -> int:
        return len(self._files)

    def label(self, index: int) -> int:
        return self._labels[index]

    def image(self, index: int) -> Image.Image:
        return decoded_image(io.BytesIO(self._files[index]), f"{self.name}, image {index}")

    def stamp(self, index: int) -> str:
        return f"{self._stamp} {index}"


def _is_class(label: object) -> bool:
    return type(label) is int and 0 <= label < CLASSES
