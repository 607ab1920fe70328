"""Runs the commands of a case in a worker, and says what is wrong with what they did."""

from __future__ import annotations

import hashlib
import json
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

WORKER = Path(__file__).parent / "worker.py"
PATIENCE = 60  # seconds
WRITES = ("-o", "--json")  # options that name an output
OUTPUT = "out.onnx"  # of commands that write a model


class Worker:
    """A process that runs commands; a new one where it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, folder: Path, argv: Sequence[str]) -> tuple[int, str]:
        """Exit code and messages; a negative code where the process died (the signal) or had to be killed."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps({"folder": str(folder), "argv": list(argv)}) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.close()
            return -1, "it died between two commands"
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline() if ready else ""
        if line:
            reply = json.loads(line)
            return reply["code"], reply["said"]
        hung = not ready
        self.close()
        return -1, "it hung" if hung else f"it died: {process.returncode}"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
        self._process = None


def digests(folder: Path) -> dict[str, str]:
    """Of all files."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def problem(worker: Worker, folder: Path, commands: Sequence[Sequence[str]]) -> str:
    """What is wrong with what the commands did in a folder of inputs; empty if nothing is."""
    before = digests(folder)
    for argv in commands:
        code, said = worker.run(folder, argv)
        if code < 0 or code not in (0, 1, 2):
            return f"{' '.join(argv)}: {said}"
        if "error: unexpected" in said or "Traceback" in said:
            return f"{' '.join(argv)}: {said.strip()[-600:]}"
        if code == 1 and not [line for line in said.splitlines() if line.startswith("error: ")]:
            return f"{' '.join(argv)}: code 1 without a word: {said[-300:]}"
        if code == 0 and (folder / OUTPUT).exists() and (reason := _unloadable(folder / OUTPUT)):
            return f"{' '.join(argv)}: wrote a model that cannot be loaded: {reason}"
    after = digests(folder)
    read = {word for argv in commands for word, option in zip(argv, ["", *argv], strict=False) if option not in WRITES}
    changed = [name for name, digest in before.items() if after.get(name) != digest and name.split("/")[0] in read]
    left = [name for name in after if name.endswith(".part")]
    return f"changed: {changed}, left: {left}" if changed or left else ""


def _unloadable(path: Path) -> str:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return str(error).splitlines()[0]
    finally:
        path.unlink()
    return ""
