"""The command line of onnxq: parse, call the library, print."""

from onnxq_cli.main import main

__all__ = ["main"]
