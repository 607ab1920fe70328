"""Runs commands in this process, one after the other: argv as JSON on stdin, code and messages as JSON on stdout."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import warnings

MOST_MEMORY = 8 * 2**30  # bytes of address space
DESCRIPTOR = os.dup(1)  # of the replies: what libraries print goes elsewhere


def run(argv: list[str]) -> tuple[int, str]:
    """Exit code and what was said on stderr."""
    from onnxq_cli.main import main

    said = io.StringIO()
    sys.argv = ["onnxq", *argv]
    code: object = 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return (code if isinstance(code, int) else 1), said.getvalue()


def serve() -> None:
    """Until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    with os.fdopen(DESCRIPTOR, "w") as replies:
        for line in sys.stdin:
            request = json.loads(line)
            os.chdir(request["folder"])
            code, said = run(request["argv"])
            replies.write(json.dumps({"code": code, "said": said[-4000:]}) + "\n")
            replies.flush()


if __name__ == "__main__":
    serve()
