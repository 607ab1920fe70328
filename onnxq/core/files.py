"""Files that are written whole or not at all. A ground module, called wherever something is written."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onnxq.errors import OnnxqError

LONGEST_NAME = 200  # bytes of a target's name that go into that of its temporary file; file systems take 255
UNIQUE = 12  # hexadecimal digits
PART = ".part"


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Find out before long work whether its result can be written, and that this destroys nothing that is read.

    Args:
        inputs: files, and folders of files, that the same work reads; links to them count.

    Raises:
        OnnxqError: ``path`` is one of the inputs or a file in such a folder, no file, or cannot be written.
    """
    target = _target(path)
    for entry in inputs:
        if _is_read_by(target, Path(entry)):
            raise OnnxqError(f"cannot write {path}: it is an input, too ({entry}); give another name")
    with tempfile_beside(target):
        pass


def _is_read_by(target: Path, entry: Path) -> bool:
    """Whether a file that is there is an input, or lies in a folder that is one; by whatever name."""
    if not target.exists():
        return False
    wanted = _identity(target)
    if not entry.is_dir():
        return wanted == _identity(entry)
    found = (Path(where) / name for where, _, names in os.walk(entry, followlinks=True) for name in names)
    return target.is_relative_to(entry.resolve()) or any(_identity(path) == wanted for path in found)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file; None where it is not there, or cannot be reached: who reads it says so."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def _target(path: str | Path) -> Path:
    """Where a file is to lie: behind symbolic links.

    Raises:
        OnnxqError: it is something else than a file, or may not be written.
    """
    text = os.fspath(path)
    if not text or text.endswith(os.sep):
        raise OnnxqError(f"cannot write {text!r}: give the name of a file")
    target = Path(os.path.realpath(text))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise OnnxqError(f"cannot write {text}: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(mode):
        raise OnnxqError(f"cannot write {text}: it is a folder; give a file name")
    if not stat.S_ISREG(mode):
        raise OnnxqError(f"cannot write {text}: it is a device, pipe or socket; give the name of a file")
    if not os.access(target, os.W_OK):
        raise OnnxqError(f"cannot write {text}: the file there is read-only")
    return target


@contextmanager
def tempfile_beside(target: Path) -> Iterator[Path]:
    """A new empty file in the folder of ``target``, gone at the end unless it was moved.

    It has the permissions that any new file gets (those of ``tempfile`` are private, and stay so when it is moved). It
    is locked while it is in use: what runs left that were killed is not, and is removed.
    """
    prefix = _prefix(target)
    _remove_leftovers(target.parent, prefix)
    path, descriptor = _locked_file(target, prefix)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _prefix(target: Path) -> str:
    name = os.fsencode(target.name)
    if len(name) > LONGEST_NAME:
        name = name[:LONGEST_NAME] + hashlib.sha256(name).hexdigest()[:UNIQUE].encode()
    return f".{os.fsdecode(name)}."


def _locked_file(target: Path, prefix: str) -> tuple[Path, int]:
    while True:
        path = target.parent / f"{prefix}{secrets.token_hex(UNIQUE // 2)}{PART}"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or error
            if isinstance(error, FileNotFoundError) and not target.parent.is_dir():
                problem = f"there is no folder {target.parent}"
            raise OnnxqError(f"cannot write {target}: {problem}; choose another folder or name") from error
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another run took it for a leftover, before it was locked


def _remove_leftovers(folder: Path, prefix: str) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            unique = entry.name.removeprefix(prefix).removesuffix(PART)
            if entry.name != f"{prefix}{unique}{PART}" or len(unique) != UNIQUE or entry.is_symlink():
                continue
            with suppress(OSError):
                descriptor = os.open(entry.path, os.O_WRONLY | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(entry.path).unlink()
                finally:
                    os.close(descriptor)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place on success, remove it on any failure.

    Symbolic links are followed, and the permissions of a file that is there are kept.

    Raises:
        OnnxqError: the folder does not exist or cannot be written, or ``path`` is no file.
    """
    target = _target(path)
    with tempfile_beside(target) as temporary:
        try:
            yield temporary
            move_into_place(temporary, target)
        except OSError as error:
            raise OnnxqError(f"cannot write {path}: {error.strerror}") from error


def append(path: str | Path, added: Callable[[str], str]) -> None:
    """Add text to the end of a file; several runs can do so at the same time.

    Args:
        added: what to add, by what is there (UTF-8; whole lines, the last one included).

    Raises:
        OnnxqError: the folder does not exist, or the file cannot be read or written; it stays as it was.
    """
    target = _target(path)
    try:
        with target.open("a+b", buffering=0) as file:  # what a buffer holds cannot be taken back
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = file.read()
            old = content.decode()
            start = "\n" if old and not old.endswith("\n") else ""
            left = (start + added(old + start)).encode()
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError:
                file.truncate(len(content))
                raise
    except UnicodeDecodeError as error:
        raise OnnxqError(f"{path}: not a text, and so not appended to ({error})") from error
    except OSError as error:
        raise OnnxqError(f"cannot write {path}: {error.strerror}") from error


def move_into_place(temporary: Path, target: Path) -> None:
    """Put a file in the place of another, with its permissions."""
    with suppress(FileNotFoundError):
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    temporary.replace(target)


def size_text(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
