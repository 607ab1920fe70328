"""torchvision classification models to ONNX. A part of ``export``, called by the command line; it needs torch."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
import torchvision

from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.export.small_stems import with_small_stem
from onnxq.graph.conversion import OPSET, to_graph, to_model
from onnxq.graph.model_files import MAX_PROTOBUF, set_metadata
from onnxq.graph.normalize import normalize

INPUT, OUTPUT = "input", "logits"
SMALL = 32  # pixels, with a small stem


def model_names() -> list[str]:
    """Every classification model that torchvision has."""
    return list(torchvision.models.list_models(module=torchvision.models))


def export_model(
    arch: str,
    *,
    weights: str = "DEFAULT",
    classes: int | None = None,
    size: int | None = None,
    small_stem: bool = False,
    preprocessing: Preprocessing | None = None,
) -> onnx.ModelProto:
    """Export a torchvision model: opset 21, dynamic batch, batch norm folded, preprocessing in the metadata.

    Args:
        arch: its name, see ``model_names``.
        weights: 'DEFAULT' (torchvision's best, downloaded), 'none' (random), or the path of a state dict.
        classes: number of classes, where it is not the 1,000 of ImageNet.
        size: side of the input in pixels, where it is not the model's own.
        small_stem: for images of 32 x 32 pixels (``onnxq.export.small_stems``).
        preprocessing: overrides what the weights or the size imply.

    Raises:
        OnnxqError: an unknown model, weights that cannot be had or do not fit, or an export that fails.
    """
    if arch not in model_names():
        near = [name for name in model_names() if arch[:4] in name]
        raise OnnxqError(
            f"torchvision has no model {arch!r}" + (f"; did you mean {', '.join(near[:6])}?" if near else "")
        )
    model, implied = _build(arch, weights, classes, small_stem)
    chosen = preprocessing or implied
    if small_stem and size is None and preprocessing is None:
        size = SMALL
    if size is not None:
        chosen = for_size(chosen, size)
    model.eval()
    example = torch.zeros(2, *chosen.input_size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
                optimize=True,
            )
        assert program is not None
        exported = program.model_proto
    except Exception as error:  # torch raises many kinds
        raise OnnxqError(
            f"torch cannot export {arch} for input {chosen.input_size}"
            f"{'' if small_stem else ' (too small? there is `small_stem`)'}: {str(error).splitlines()[0]}"
        ) from error
    if exported.ByteSize() > MAX_PROTOBUF:
        raise OnnxqError(f"{arch} is over 2 GB, more than one ONNX file holds")
    strip_traces(exported)
    graph = to_graph(exported)
    normalize(graph)
    folded = to_model(graph, exported)
    class_count = folded.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    set_metadata(folded, {**chosen.to_metadata(), "model": arch, "num_classes": str(class_count)})
    return folded


def strip_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's metadata and doc strings: they hold local paths and stack traces."""
    del model.metadata_props[:]
    for graph in (model.graph, *(function for function in model.functions)):
        del graph.metadata_props[:]
        graph.doc_string = ""
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in graph.value_info:
            del value.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]


def _build(
    arch: str, weights: str, classes: int | None, small_stem: bool = False
) -> tuple[torch.nn.Module, Preprocessing]:
    """The model, and the preprocessing of its published weights."""
    published = torchvision.models.get_model_weights(arch).DEFAULT
    preset = published.transforms()
    crop = preset.crop_size[0]
    implied = Preprocessing(
        input_size=(3, crop, crop),
        resize=preset.resize_size[0],
        crop=crop,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if arch in ("inception_v3", "googlenet"):
        options["init_weights"] = False  # saves minutes; weights are loaded or meant to be arbitrary

    def get_model() -> torch.nn.Module:
        model = torchvision.models.get_model(arch, weights=None, **options)
        return with_small_stem(model, arch) if small_stem else model

    if weights == "DEFAULT":
        if classes is not None or small_stem:
            raise OnnxqError(
                "`num_classes` and `small_stem` go with `weights` FILE or none: the published weights have "
                "1,000 classes and the usual stem"
            )
        try:
            return torchvision.models.get_model(arch, weights=published), implied
        except (OSError, RuntimeError) as error:
            raise OnnxqError(
                f"cannot download the weights of {arch} ({error}); give a state dict with `weights` FILE"
            ) from error
    if weights == "none":
        torch.manual_seed(0)
        return get_model(), implied
    state = _load_state(Path(weights))
    if "init_weights" in options:  # the auxiliary classifiers of training are not exported
        options["aux_logits"] = any(name.startswith(("AuxLogits", "aux1")) for name in state)
    model = get_model()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise OnnxqError(
            f"{weights} does not fit {arch}: {lines[min(1, len(lines) - 1)].strip()} (try `num_classes`)"
        ) from error
    return model, implied


def _load_state(path: Path) -> dict[str, Any]:
    """A state dict, plain or inside a checkpoint."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise OnnxqError(f"`weights` {path}: no such file (or use DEFAULT or none)") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise OnnxqError(f"`weights` {path}: not a PyTorch state dict, or a truncated one") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise OnnxqError(f"`weights` {path}: not a PyTorch state dict")
    return {name.removeprefix("module."): value for name, value in content.items()}


def for_size(implied: Preprocessing, size: int) -> Preprocessing:
    """Small inputs are taken as they are; larger ones keep the ratio of resize to crop."""
    if size < 128:
        return replace(implied, input_size=(3, size, size), resize=None, crop=None)
    ratio = (implied.resize or size) / (implied.crop or size)
    return replace(implied, input_size=(3, size, size), resize=round(size * ratio), crop=size)
