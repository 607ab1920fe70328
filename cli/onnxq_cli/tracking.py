"""Runs on a tracking server: `--track mlflow[:URI]`. Used by `quantize` and `eval`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import click

from onnxq.core.optional import optional
from onnxq.errors import OnnxqError, first_line

EXPERIMENT = "onnxq"
LONGEST = 500  # characters of a parameter, which every server takes
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # mlflow's own: minutes
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.:/ -]")  # what mlflow takes in names of metrics

track_option = click.option(
    "--track",
    metavar="mlflow[:URI]",
    help="Log parameters, metrics and files as a run of the experiment onnxq (needs onnxq[mlflow]).",
)


class Run(Protocol):
    """What is logged."""

    def parameters(self, values: Mapping[str, object]) -> None:
        """Settings, by name."""

    def metrics(self, values: Mapping[str, float]) -> None:
        """Results, by name."""

    def artifact(self, path: str | Path) -> None:
        """A file."""


class _Nothing:
    """The run of those who did not ask for one."""

    def parameters(self, values: Mapping[str, object]) -> None: ...

    def metrics(self, values: Mapping[str, float]) -> None: ...

    def artifact(self, path: str | Path) -> None: ...


class _Mlflow:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run = client, run_id

    def parameters(self, values: Mapping[str, object]) -> None:
        with _told():
            for name, value in values.items():
                self._client.log_param(self._run, name, str(value)[:LONGEST])

    def metrics(self, values: Mapping[str, float]) -> None:
        with _told():
            for name, value in values.items():
                self._client.log_metric(self._run, NOT_IN_NAMES.sub("_", name), float(value))

    def artifact(self, path: str | Path) -> None:
        with _told():
            self._client.log_artifact(self._run, str(path))


def distinct(names: Sequence[str]) -> list[str]:
    """Names for metrics: what a tracker takes, each once.

    >>> distinct(["a.onnx", "b[1].onnx", "a.onnx"])
    ['a.onnx', 'b_1_.onnx', 'a.onnx 2']
    """
    found: list[str] = []
    for name in names:
        clean, number = NOT_IN_NAMES.sub("_", name), 1
        while (label := clean if number == 1 else f"{clean} {number}") in found:
            number += 1
        found.append(label)
    return found


@contextmanager
def _told() -> Iterator[None]:
    """Errors of a server, the network or the file system, in one line."""
    try:
        yield
    except Exception as error:
        raise OnnxqError(f"`track`: what was logged may not be whole: {first_line(error)}") from error


@contextmanager
def tracking(asked: str | None, name: str) -> Iterator[Run]:
    """A run called ``name``; one that ends by an error is marked as failed.

    Args:
        asked: 'mlflow', with or without ':' and the address of a server or a folder; None logs nothing.

    Raises:
        OnnxqError: there is no such tracker, it is not installed, or cannot be reached.
    """
    if asked is None:
        yield _Nothing()
        return
    client, run_id = _started(asked, name)
    try:
        yield _Mlflow(client, run_id)
    except BaseException:
        with suppress(Exception):  # the error that ended the run is the one to be told
            client.set_terminated(run_id, "FAILED")
        raise
    with _told():
        client.set_terminated(run_id)


def _started(asked: str, name: str) -> tuple[Any, str]:
    kind, _, uri = asked.partition(":")
    if kind != "mlflow":
        raise OnnxqError(f"`track`: no tracker {kind!r}; use mlflow, or mlflow:URI")
    for variable, value in {"MLFLOW_ALLOW_FILE_STORE": "true", **PATIENCE}.items():  # a folder is enough for one person
        os.environ.setdefault(variable, value)
    optional("mlflow", "mlflow", "`track` needs mlflow")
    from mlflow import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri or None)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known is not None else client.create_experiment(EXPERIMENT)
        return client, client.create_run(experiment, run_name=name).info.run_id
    except Exception as error:  # of the server, the network, the file system
        raise OnnxqError(f"`track`: mlflow at {uri or 'its default address'}: {first_line(error)}") from error
