"""The group of commands, and how errors are shown."""

from __future__ import annotations

import io
import signal
import sys
from difflib import get_close_matches
from importlib import import_module

import click

import onnxq
from onnxq.errors import OnnxqError, first_line
from onnxq_cli.common import printable
from onnxq_cli.words import OPTIONS, in_options

# Commands are imported when they are asked for: `onnxq --help` is quick.
COMMANDS = {
    "export": "torchvision model to ONNX",
    "import-apot": "checkpoint of the published APoT system to a quantized file",
    "preprocess": "say in a model how images become its input",
    "calibrate": "observe a model's activations on images",
    "equalize": "even out the ranges of channels, in float",
    "quantize": "rewrite a model at 2 to 8 bits",
    "recipes": "recipes for quantize: list them, show one",
    "search": "accuracy over widths, or layer by layer, in one table; sensitivities",
    "sweep": "many recipes over many models, resumable, here or on a Ray cluster",
    "eval": "top-1 and top-5 of files, side by side",
    "check": "which layers a runtime computes with integers, and why others not",
    "compare": "how far quantized files are from the float one, by output and by layer",
    "report": "one page about a quantized file, to show to others",
    "show": "formats, bits, ranges and sizes of a quantized file, by tensor",
    "plot": "figures: clipping, bits, levels, weights, corrections, a sweep",
    "expand": "write packed weights out, for runtimes that do not",
    "info": "versions, providers, native library",
    "demo": "the whole flow on bundled data, in two minutes",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if like := get_close_matches(cmd_name, COMMANDS, n=1):
                ctx.fail(f"No such command '{cmd_name}'. Did you mean '{like[0]}'?")
            return None
        command: click.Command = import_module(f"onnxq_cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(onnxq.__version__, package_name="onnxq")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def _group(debug: bool) -> None:
    """Post-training quantization of convolutional networks in ONNX: 2 to 8 bits, no training.

    \b
    onnxq export resnet50 -o resnet50.onnx
    onnxq calibrate resnet50.onnx --data imagenet/val -n 512 -o resnet50.stats.npz
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --bits 4 -o resnet50.w4a4.onnx
    onnxq eval resnet50.onnx resnet50.w4a4.onnx --data imagenet/val
    """


LONGEST_MESSAGE = 1_000  # characters


class _Terminated(BaseException):
    """Somebody asked this process to end: what is half done is undone on the way out, as with Ctrl-C."""


def _terminate(number: int, frame: object) -> None:
    raise _Terminated


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, MemoryError):
        return f"out of memory: {error}; take smaller images or batches" if str(error) else "out of memory"
    text = first_line(error)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."


def main() -> None:
    """Entry point: errors are one line on stderr; exit code 1, 2 for wrong usage, 130 for Ctrl-C, 143 for SIGTERM."""
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files and nodes can be any bytes
    try:
        code = _group(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("aborted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except _Terminated:
        click.echo("terminated", err=True)
        sys.exit(143)
    except Exception as error:
        if debug:
            raise
        problem = in_options(_one_line(error), OPTIONS)
        if not isinstance(error, (OnnxqError, MemoryError, OSError)):
            problem = f"unexpected {type(error).__name__}: {problem}; `onnxq --debug` shows where; please report it"
        click.echo(printable(f"error: {problem}"), err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("aborted", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
