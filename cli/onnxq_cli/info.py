"""onnxq info"""

from __future__ import annotations

import dataclasses

import click

from onnxq.runtime.environment import inspect_environment
from onnxq_cli.common import json_option, write_json


@click.command("info")
@json_option
def command(json_path: str | None) -> None:
    """Versions, providers that really load, the native library, and what is missing.

    \b
    onnxq info
    """
    facts = inspect_environment()
    click.echo("versions")
    for name, version in facts.versions.items():
        click.echo(f"  {name:18} {version}")
    click.echo("providers")
    for name, problem in facts.providers.items():
        click.echo(f"  {name.upper():18} {problem or 'works'}")
    click.echo(f"native library       {facts.library or 'not built'}")
    for line in facts.kernels:
        click.echo(f"  {line}")
    for line in facts.advice:
        click.echo(f"- {line}")
    write_json(json_path, dataclasses.asdict(facts))
