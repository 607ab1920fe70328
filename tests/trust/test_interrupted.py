"""Ended in the middle: the target is the old file or the new one, and the next run leaves nothing of the last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli.test_cli import calibrated  # noqa: F401

import onnxq

POINTS = {  # where the process sends itself the signal
    "open": "os.open",
    "lock": "fcntl.flock",
    "chmod": "pathlib.Path.chmod",
    "before the move": "pathlib.Path.replace",
    "after the move": "after",
}
PROGRAM = """
import fcntl, os, pathlib, signal, sys
sys.argv = ["onnxq", *{argv!r}]
def die():
    os.kill(os.getpid(), {number})
def before(owner, name):
    real = getattr(owner, name)
    def wrapped(*arguments, **named):
        texts = [str(each) for each in arguments]
        if name == "flock" or any(".part" in text for text in texts):
            made = real(*arguments, **named) if name in ("open", "flock") else None
            die()
            return made if made is not None else real(*arguments, **named)
        return real(*arguments, **named)
    setattr(owner, name, wrapped)
point = {point!r}
if point == "after":
    real = pathlib.Path.replace
    def replaced(path, target):
        real(path, target)
        die()
    pathlib.Path.replace = replaced
else:
    parts = point.split(".")
    before({{"os": os, "fcntl": fcntl, "pathlib": pathlib.Path}}[parts[0]], parts[-1])
from onnxq_cli import main
main()
"""
COMMANDS = {
    "calibrate": "calibrate {model} --data {data} -n 8 -o {target}",
    "cache": "calibrate {model} --data {data} -n 8 --cache {folder}/cache -o {target}",
    "quantize": "quantize {model} --stats {stats} -o {target}",
    "equalize": "equalize {model} --stats {stats} -o {target}",
    "eval": "eval {model} --data {data} -n 8 --json {target}",
    "expand": "expand {model} -o {target}",
}


WHOLE = {  # read it, or fail
    "calibrate": onnxq.Statistics.load,
    "eval": lambda path: json.loads(path.read_text()),
    **dict.fromkeys(("quantize", "equalize", "expand"), onnxq.load_model),
}


@pytest.fixture
def words(small_model, small_data, calibrated, tmp_path):  # noqa: F811
    """What commands are about; the target is there already."""
    target = tmp_path / "out" / "target"
    target.parent.mkdir()
    target.write_text("old")
    return {"model": small_model, "data": small_data, "stats": calibrated, "target": target, "folder": target.parent}


def run(argv, point=None, number=0):
    text = f"from onnxq_cli import main; import sys; sys.argv = ['onnxq', *{argv!r}]; main()"
    if point is not None:
        text = PROGRAM.format(argv=argv, point=point, number=int(number))
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True).returncode


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_target_is_whole(words, tmp_path, command, point, number):
    target = words["target"]
    argv = COMMANDS[command].format(**words).split()
    code = run(argv, POINTS[point], number)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 143)
    if target.read_bytes() != b"old":
        WHOLE[argv[0]](target)
    assert run(argv) == 0
    WHOLE[argv[0]](target)
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_workers_end_with_their_parent(small_model, small_data, tmp_path, number):
    program = f"""
import sys, time
from onnxq.data.datasets.folder import ImageFolder
real = ImageFolder.image
if __name__ == "__main__":
    from onnxq_cli import main
    sys.argv = ["onnxq", "calibrate", {str(small_model)!r}, "--data", {str(small_data)!r}, "--workers", "2", "-o",
                {str(tmp_path / "s.npz")!r}, "--batch-size", "1"]
    import onnxq.runtime.batches as batches
    check = batches.check_batch
    def slow(*arguments):
        print("running", flush=True)
        time.sleep(30)
        check(*arguments)
    batches.check_batch = slow
    main()
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(number)
    process.wait(timeout=60)
    deadline = time.monotonic() + 20
    while (left := _of_session(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def _of_session(leader: int) -> list[int]:
    """Processes of the session that are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


FULL = {
    **{name: COMMANDS[name] for name in ("calibrate", "cache", "quantize", "equalize", "expand")},
    "demo": "demo -n 10 -o {folder}/demo",
}


@pytest.mark.parametrize("command", FULL)
def test_a_full_disk(words, tmp_path, command):
    """Files cannot grow beyond 2 KiB: the same errors as those of a disk that is full."""
    target = words["target"]
    argv = FULL[command].format(**words).split()
    text = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)); "
        f"from onnxq_cli import main; sys.argv = ['onnxq', *{argv!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    assert target.read_text() == "old"
    assert not list((tmp_path / "out").rglob("*.part"))
