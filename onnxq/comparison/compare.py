"""Quantized files against their float network, over one pass of the data. The entrance of ``comparison``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime as ort

from onnxq.comparison.compared import Comparison
from onnxq.comparison.layers import LayerProbe
from onnxq.comparison.tally import OutputTally
from onnxq.core.feeds import Batches, as_batch, is_finite
from onnxq.errors import OnnxqError
from onnxq.runtime.batches import check_batch, on_device, run
from onnxq.runtime.sessions import make_session


def compare(
    reference: str | Path,
    quantized: str | Path | Sequence[str | Path],
    batches: Batches,
    *,
    layers: bool = False,
    provider: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> list[Comparison]:
    """Compare the outputs of files with those of their float network, and the tensors inside.

    Memory does not grow with the number of images.

    Args:
        reference: the float file. quantized: one file, or several.
        batches: preprocessed images, float32 [N, C, H, W], or arrays by the names of inputs.
        layers: also compare each tensor that both networks have, by one more network that holds both.
        progress: called after each batch with the number of its images.

    Raises:
        OnnxqError: a file cannot be run, their outputs differ, or there are no images.
    """
    paths = [Path(quantized)] if isinstance(quantized, (str, Path)) else [Path(each) for each in quantized]
    for path in (Path(reference), *paths):
        if not path.is_file():
            raise OnnxqError(f"{path}: no such file")
    sessions = [make_session(path, provider) for path in (Path(reference), *paths)]
    for path, session in zip(paths, sessions[1:], strict=True):
        _check_outputs(sessions[0], session, path)
    places = [place for place, output in enumerate(sessions[0].get_outputs()) if _is_of_numbers(output)]
    if not places:
        raise OnnxqError(f"{reference}: none of its outputs are numbers")
    names, *theirs = ([session.get_outputs()[place].name for place in places] for session in sessions)
    tallies = [[OutputTally(name) for name in names] for _ in paths]
    probes = [LayerProbe(reference, path, provider) for path in paths] if layers else []
    images = 0
    for given in batches:
        batch = as_batch(given)
        if not len(batch):
            continue
        if not is_finite(batch):
            raise OnnxqError(f"NaN or infinite values in images {images} to {images + len(batch) - 1}")
        for session, name in zip(sessions, (str(reference), *map(str, paths)), strict=True):
            check_batch(session, batch, name)
        there = on_device(batch, sessions[0])
        measured = [probe.add(batch, names) for probe in probes]
        exact = measured[0] if measured else run(sessions[0], names, there)
        for session, wanted, own in zip(sessions[1:], theirs, tallies, strict=True):
            made = run(session, wanted, there)
            for tally, one, other in zip(own, exact, made, strict=True):
                tally.add(one, other, len(batch))
        images += len(batch)
        if progress:
            progress(len(batch))
    if not images:
        raise OnnxqError("no images to compare on")
    found = []
    for index, path in enumerate(paths):
        tensors = tuple(probes[index].result()) if probes else ()
        found.append(Comparison(path, images, tuple(tally.result() for tally in tallies[index]), tensors))
    return found


def _is_of_numbers(output: ort.NodeArg) -> bool:
    """Not a sequence, a map, or text."""
    return output.type.startswith("tensor(") and "string" not in output.type


def _check_outputs(reference: ort.InferenceSession, session: ort.InferenceSession, path: Path) -> None:
    """By number: what a tool calls them does not matter."""
    names, own = ([output.name for output in each.get_outputs()] for each in (reference, session))
    if len(own) != len(names):
        raise OnnxqError(f"{path}: it has the outputs {', '.join(own)}, the float file {', '.join(names)}")
