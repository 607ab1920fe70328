"""Files that are written whole or not at all. A ground module, called wherever something is written."""

from __future__ import annotations

import os
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxq.errors import OnnxqError

# what reading an .npz file can raise: missing arrays, other types, truncation, flipped bits
UNREADABLE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)


def check_writable(path: str | Path) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        OnnxqError: the folder does not exist or cannot be written, or ``path`` is a folder.
    """
    if Path(path).is_dir():
        raise OnnxqError(f"cannot write {path}: it is a folder; give a file name")
    with tempfile_beside(Path(path)):
        pass


@contextmanager
def tempfile_beside(target: Path) -> Iterator[Path]:
    """A new empty file in the folder of ``target``, gone at the end unless it was moved.

    It has the permissions that any new file gets (those of ``tempfile`` are private, and stay so when it is moved).
    """
    path = target.parent / f".{target.name}.{secrets.token_hex(6)}.part"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise OnnxqError(f"cannot write {target}: {error.strerror}; choose another folder") from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place on success, remove it on any failure.

    Raises:
        OnnxqError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    with tempfile_beside(target) as temporary:
        try:
            yield temporary
            temporary.replace(target)
        except OSError as error:
            raise OnnxqError(f"cannot write {target}: {error.strerror}") from error
