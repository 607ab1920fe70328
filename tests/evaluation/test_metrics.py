"""What metrics count."""

from __future__ import annotations

import numpy as np
import pytest

from onnxq.errors import OnnxqError
from onnxq.evaluation import METRICS


def result(name, batches):
    metric = METRICS.parse(name)
    for outputs, reference, target in batches:
        metric.update(outputs, reference, target)
    return metric.result()


def test_classification_and_agreement():
    scores, other = np.float32([[3, 1, 2], [0, 5, 1]]), np.float32([[3, 1, 2], [9, 5, 1]])
    batches = [([other], [scores], np.array([0, 1])), ([scores[:1]], [scores[:1]], np.array([2]))]
    assert result("classification", batches) == {
        "top1": pytest.approx(100 / 3), "top5": 100, "correct": 1, "correct5": 3, "classes": 3,
    }  # fmt: skip
    assert result("agreement", batches) == {"differs": pytest.approx(100 / 3), "disagreements": 1}


def test_distance_of_outputs_of_any_shape():
    first = [np.full((2, 3, 4, 4), 2, np.float32), np.full((2, 7), 1, np.float64)]
    own = [first[0] + np.float32(0.2), first[1]]
    signal, noise = 96 * 4 + 14, 96 * 0.04
    assert result("distance", [(own, first, np.zeros(2, int))])["sqnr"] == pytest.approx(10 * np.log10(signal / noise))
    with pytest.raises(OnnxqError, match="an output has shape"):
        result("distance", [([own[0][:1]], first[:1], np.zeros(2, int))])


def test_scores_of_another_shape_are_said():
    for outputs in (np.zeros((2, 3, 4)), np.zeros((5, 3))):
        with pytest.raises(OnnxqError, match=r"expected \[images, classes\]"):
            result("classification", [([outputs], [outputs], np.zeros(2, int))])


def test_counts_are_no_parameters():
    with pytest.raises(OnnxqError, match="its parameters are none"):
        METRICS.parse({"classification": {"correct": 3}})
