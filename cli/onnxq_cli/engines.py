"""Who does the work: this process, or the workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import click

from onnxq.core.optional import optional
from onnxq.errors import OnnxqError, first_line
from onnxq_cli.common import options

engine_options = options(
    click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True),
    click.option("--address", metavar="HOST:PORT", help="Of a Ray cluster.  [default: one of this machine]"),
)
shards_option = click.option(
    "--shards",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Parts of the images, of which each worker of --engine ray takes one after the other.",
)

Task = TypeVar("Task")
Done = TypeVar("Done")
RETRIES = 3  # of a job whose worker died


def check_engine(engine: str, address: str | None) -> None:
    """Raise UsageError where an address is given that nobody asks."""
    if address is not None and engine != "ray":
        raise click.UsageError("--address goes with --engine ray")


def all_on_ray(
    work: Callable[[Task], Done],
    tasks: Sequence[Task],
    address: str | None,
    provider: str,
    update: Callable[[Done], None],
) -> list[Done]:
    """What all tasks gave, in their order.

    Raises:
        OnnxqError: one cannot be done.
    """
    found: dict[int, Done] = {}
    places = {id(task): place for place, task in enumerate(tasks)}
    with closing(on_ray(work, tasks, address, provider)) as results:
        for task, done in results:
            if isinstance(done, OnnxqError):
                raise done
            found[places[id(task)]] = done
            update(done)
    return [found[place] for place in range(len(tasks))]


def here(work: Callable[[Task], Done], tasks: Sequence[Task]) -> Iterator[tuple[Task, Done | OnnxqError]]:
    """One after the other; errors of a job are its result."""
    for task in tasks:
        yield task, _caught(work, task)


def on_ray(
    work: Callable[[Task], Done], tasks: Sequence[Task], address: str | None, provider: str
) -> Generator[tuple[Task, Done | OnnxqError], None, None]:
    """As they come, from the cluster at ``address`` or one of this machine; a job whose worker dies is done anew.

    Each has a processor, and a GPU by itself where ``provider`` asks for one, or the cluster has some.

    Raises:
        OnnxqError: Ray is not installed, or the cluster cannot be reached.
    """
    optional("ray", "ray", "`engine` ray needs Ray")
    import ray

    started = not ray.is_initialized()
    try:
        if started:
            ray.init(address=address or "local", log_to_driver=False, include_dashboard=False, configure_logging=False)
    except Exception as error:  # of many kinds
        raise OnnxqError(f"no Ray cluster at {address or 'this machine'} ({first_line(error)})") from error
    try:
        resources: Any = ray.cluster_resources  # it has no types
        wants_gpu = provider.startswith("cuda") or (provider == "auto" and resources().get("GPU", 0) >= 1)
        remote: Any = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=int(wants_gpu))(_caught)
        waiting = {remote.remote(work, task): task for task in tasks}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            for each in ready:
                task = waiting.pop(each)
                try:
                    yield task, ray.get(each)
                except ray.exceptions.RayError as error:
                    yield task, OnnxqError(f"its worker died {RETRIES + 1} times ({first_line(error)})")
    finally:
        if started:
            ray.shutdown()


def _caught(work: Callable[[Task], Done], task: Task) -> Done | OnnxqError:
    """One job that cannot be done does not stop the others."""
    try:
        return work(task)
    except OnnxqError as error:
        return error
    except Exception as error:
        return OnnxqError(f"{type(error).__name__}: {first_line(error)}")
