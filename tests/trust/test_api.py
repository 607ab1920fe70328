"""Arguments of other types and values: an error that names the argument."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import images, small_network

import onnxq
from onnxq.data.loader import Batch
from onnxq.errors import OnnxqError
from onnxq.recipe import Recipe

MODEL = small_network()
BAD_MODELS = [None, 5, MODEL.SerializeToString(), MODEL.graph, {}, onnx.ModelProto(), "missing.onnx", "."]


@pytest.fixture(scope="module")
def seen():
    return onnxq.calibrate(MODEL, [images(8)])


@pytest.mark.parametrize("model", BAD_MODELS, ids=lambda model: type(model).__name__)
def test_models(seen, model):
    for call in (
        lambda: onnxq.calibrate(model, [images(8)]),
        lambda: onnxq.quantize(model, None, Recipe.of(act_bits=None)),
        lambda: onnxq.equalize(model, seen),
    ):
        with pytest.raises((OnnxqError, TypeError), match=r"model|no such file|cannot be read"):
            call()


@pytest.mark.parametrize("batch", [
    images(4).astype(np.float64), images(4).astype(">f4"), images(4).tolist(), "abc", 5, np.float32(1), images(4)[0],
    images(4)[:, :2], (images(4) > 0),
], ids=lambda batch: type(batch).__name__)  # fmt: skip
def test_batches(seen, batch):
    for call in (
        lambda: onnxq.calibrate(MODEL, [batch]),
        lambda: onnxq.quantize(MODEL, seen, Recipe.of(), images=[batch]),
    ):
        with pytest.raises((OnnxqError, TypeError), match=r"images|shape"):
            call()


def test_other_arguments(seen):
    with pytest.raises(TypeError, match="`batches` must be Iterable, not int"):
        onnxq.calibrate(MODEL, 5)
    with pytest.raises(TypeError, match="`progress` must be a function"):
        onnxq.calibrate(MODEL, [images(4)], progress=5)
    with pytest.raises(OnnxqError, match="`moving_percentile` must be a number"):
        onnxq.calibrate(MODEL, [images(4)], moving_percentile="99")
    with pytest.raises(OnnxqError, match="no quantization points 'xx'"):
        onnxq.calibrate(MODEL, [images(4)], points="xx")
    with pytest.raises(OnnxqError, match="unknown provider None"):
        onnxq.calibrate(MODEL, [images(4)], provider=None)
    for recipe in (None, "default", 5, Recipe):
        with pytest.raises(TypeError, match="`recipe` must be Recipe"):
            onnxq.quantize(MODEL, seen, recipe)
    for statistics in (5, seen.tensors):
        with pytest.raises(TypeError, match="`statistics` must be Statistics"):
            onnxq.quantize(MODEL, statistics, Recipe.of())
    with pytest.raises(TypeError, match="`other` must be Statistics"):
        seen.merge(None)
    with pytest.raises(TypeError, match="`path` must be"):
        onnxq.save_model(MODEL, 5)
    with pytest.raises(OnnxqError, match="must be a number"):
        Recipe.of(act_bits=10**400)


def test_errors_of_the_caller_arrive_as_they_are():
    def broken():
        yield images(4)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        onnxq.calibrate(MODEL, broken())


LABELS = np.zeros(4, np.int64)


@pytest.mark.parametrize(("batch", "message"), [
    (Batch(images(4), LABELS - 1), "labels must be numbers of classes from 0"),
    (Batch(images(4), LABELS[:2]), "one for each image"),
    (Batch(images(4) * np.nan, LABELS), "NaN or infinite values in images 0 to 3"),
    (Batch(images(4).astype(np.float64), LABELS), "float32"),
])  # fmt: skip
def test_evaluation(small_model, batch, message):
    with pytest.raises(OnnxqError, match=message):
        onnxq.evaluate([small_model], [batch])


def test_files_to_evaluate(small_model):
    for paths in (str(small_model), ()):
        with pytest.raises(TypeError, match="`paths` must be a list of files"):
            onnxq.evaluate(paths, [Batch(images(4), LABELS)])
