"""Fuzz the commands: see README.md.

python fuzz/run.py [--minutes 10 | --cases 1000] [--only KIND ...] [--seed N] [--keep FOLDER] [--replay]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from judge import Worker, problem
from kinds import KINDS

CORPUS = Path(__file__).parent / "corpus"


def replay(folder: Path, worker: Worker) -> str:
    """What is wrong with a case of the corpus; empty if nothing is."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "case"
        shutil.copytree(folder, copy)
        commands = json.loads((copy / "commands.json").read_text())
        return problem(worker, copy, commands)


def fuzz(name: str, seed: int, minutes: float, cases: int, keep: Path) -> tuple[int, int]:
    """How many cases of a kind were run, and how many failed."""
    worker, ends = Worker(), time.monotonic() + 60 * minutes
    done = failed = 0
    while done < cases and time.monotonic() < ends:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "above" / "case"  # some commands look into the folder above
            folder.mkdir(parents=True)
            commands = KINDS[name](folder, random.Random(f"{name} {seed} {done}"))
            (folder / "commands.json").write_text(json.dumps(commands) + "\n")
            wrong = problem(worker, folder, commands)
            if wrong:
                failed += 1
                digest = hashlib.sha256(wrong.encode()).hexdigest()[:8]
                print(f"{name} {seed} {done}: {wrong}", flush=True)
                if not (keep / f"{name}-{digest}").exists():
                    shutil.copytree(folder, keep / f"{name}-{digest}")
            done += 1
    worker.close()
    return done, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of each kind")
    parser.add_argument("--cases", type=int, default=10**9, help="of each kind, at most")
    parser.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=CORPUS, help="where failures are put")
    parser.add_argument("--replay", action="store_true", help="run what is in corpus/ only")
    args = parser.parse_args()
    failures = 0
    if args.replay:
        worker = Worker()
        for folder in sorted(CORPUS.iterdir()):
            wrong = replay(folder, worker)
            failures += bool(wrong)
            print(f"{folder.name}: {wrong or 'fine'}", flush=True)
        worker.close()
    else:
        for name in args.only:
            done, failed = fuzz(name, args.seed, args.minutes, args.cases, args.keep)
            failures += failed
            print(f"{name}: {done} cases of seed {args.seed}, {failed} failed", flush=True)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
