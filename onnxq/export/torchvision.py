"""torchvision models to ONNX. A part of ``export``, called by the command line; it needs torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
import torchvision

from onnxq.core.metadata_keys import DETECTOR
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.export.dense import AnchorScores, as_tensors
from onnxq.export.dense import implied as dense_preprocessing
from onnxq.export.module import OUTPUT, export_module
from onnxq.export.small_stems import with_small_stem
from onnxq.export.state import load_state
from onnxq.graph.model_files import set_metadata

PUBLISHED = {"squeezenet_v0": "squeezenet1_0", "squeezenet_v1": "squeezenet1_1"}
CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100}
SMALL = 32  # pixels, with a small stem
DENSE = (torchvision.models.segmentation, torchvision.models.detection)
MODULES = (torchvision.models, *DENSE)


def model_names() -> list[str]:
    """Every classification, segmentation and detection model that torchvision has."""
    return [name for module in MODULES for name in torchvision.models.list_models(module=module)]


def export_model(
    arch: str,
    *,
    weights: str = "DEFAULT",
    classes: int | None = None,
    size: int | None = None,
    small_stem: bool = False,
    preprocessing: Preprocessing | None = None,
    keep_batch_norm: bool = False,
) -> onnx.ModelProto:
    """Export a torchvision model: opset 21, dynamic batch, batch norm folded, preprocessing in the metadata.

    Args:
        arch: its name, see ``model_names``, or one that the fixed-point system has (``published_name``).
        weights: 'DEFAULT' (torchvision's best, downloaded), 'none' (random), or the path of a state dict.
        classes: number of classes, where it is not the 1,000 of ImageNet.
        size: side of the input in pixels, where it is not the model's own.
        small_stem: for images of 32 x 32 pixels (``onnxq.export.small_stems``).
        preprocessing: overrides what the weights or the size imply. keep_batch_norm: do not fold it.

    Raises:
        OnnxqError: an unknown model, weights that cannot be had or do not fit, or an export that fails.
    """
    arch, classes, preprocessing = published_name(arch, classes, preprocessing)
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
    names: tuple[str, ...] = (OUTPUT,)
    if _is_dense(arch):
        model = as_tensors(model)
        names = model.outputs  # type: ignore[assignment]  # which such modules have
    hint = "" if small_stem else " (too small? there is `small_stem`)"
    made = export_module(model, chosen, name=arch, hint=hint, keep_batch_norm=keep_batch_norm, outputs=names)
    if isinstance(model, AnchorScores):
        set_metadata(made, {DETECTOR: arch})  # whoever evaluates it makes boxes of scores
    return made


def _is_dense(arch: str) -> bool:
    """Whether it is a segmentation or a detection model."""
    return any(arch in torchvision.models.list_models(module=module) for module in DENSE)


def published_name(
    arch: str, classes: int | None, preprocessing: Preprocessing | None
) -> tuple[str, int | None, Preprocessing | None]:
    """What names of the published fixed-point system stand for: squeezenet_v1, resnet50_cifar100.

    Its networks for CIFAR see images of 224 x 224 pixels, normalized as ImageNet's.
    """
    name, _, data = arch.rpartition("_")
    if data in CIFAR_CLASSES:
        images = preprocessing or Preprocessing(resize=224, crop=224)
        return PUBLISHED.get(name, name), classes or CIFAR_CLASSES[data], images
    return PUBLISHED.get(arch, arch), classes, preprocessing


def _build(
    arch: str, weights: str, classes: int | None, small_stem: bool = False
) -> tuple[torch.nn.Module, Preprocessing]:
    """The model, and the preprocessing of its published weights."""
    published = torchvision.models.get_model_weights(arch).DEFAULT
    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if _is_dense(arch):
        options["weights_backbone"] = None
    implied = _implied(arch, published, options)
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
    if not Path(weights).exists():
        raise OnnxqError(f"`weights` {weights}: no such file (or use DEFAULT or none)")
    state = load_state(Path(weights))
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


def _implied(arch: str, published: Any, options: dict[str, Any]) -> Preprocessing:
    """The preprocessing of published weights."""
    preset = published.transforms()
    if _is_dense(arch):
        return dense_preprocessing(torchvision.models.get_model(arch, weights=None, **options), preset)
    crop = preset.crop_size[0]
    return Preprocessing(
        input_size=(3, crop, crop),
        resize=preset.resize_size[0],
        crop=crop,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )


def for_size(implied: Preprocessing, size: int) -> Preprocessing:
    """Small inputs are taken as they are; larger ones keep the ratio of resize to crop; what is stretched stays so."""
    if isinstance(implied.resize, tuple):
        return replace(implied, input_size=(3, size, size), resize=(size, size))
    if size < 128:
        return replace(implied, input_size=(3, size, size), resize=None, crop=None)
    resize = implied.resize if isinstance(implied.resize, int) else size
    ratio = resize / (implied.crop or size)
    return replace(implied, input_size=(3, size, size), resize=round(size * ratio), crop=size)
