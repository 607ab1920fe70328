"""onnxq recipes"""

from __future__ import annotations

import click

from onnxq.recipe.files import recipe_names, recipe_text


@click.command("recipes")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the recipes that come with onnxq, or show the one called NAME.

    \b
    onnxq recipes
    onnxq recipes aciq-paper/w4a4-all > mine.yaml
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --recipe mine.yaml -o resnet50.w4a4.onnx
    """
    if name is not None:
        click.echo(recipe_text(name), nl=False)
        return
    for recipe in recipe_names():
        click.echo(f"{recipe:<42}{recipe_text(recipe).splitlines()[0].removeprefix('# ')}")
