"""A recognizer of text: lines of any width, judged by the characters that are the float network's.

    python text.py recognizer.onnx lines recognizer.w8a8.onnx [--preset paddleocr-rec]

The network gives [images, steps, characters], or [steps, images, characters]; the character 0 stands for none (CTC).
"""

from __future__ import annotations

import argparse
import difflib
from typing import Any

import onnxq
from onnxq.data.presets import PRESETS
from onnxq.graph.model_files import metadata


def characters(output: Any) -> list[int]:
    """What one line says: the best character of each step, repetitions and none left out."""
    best = output.reshape(-1, output.shape[-1]).argmax(axis=1)
    return [int(each) for place, each in enumerate(best) if each and (place == 0 or each != best[place - 1])]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("lines", help="a folder of pictures, a line of text each")
    parser.add_argument("output")
    parser.add_argument("--preset", choices=PRESETS)
    given = parser.parse_args()
    said = onnxq.Preprocessing.from_metadata(metadata(onnxq.load_model(given.model)))
    preprocessing = PRESETS[given.preset] if given.preset else said
    if preprocessing is None:
        parser.error("the model does not say how to preprocess pictures: --preset")
    dataset = onnxq.open_dataset(given.lines, "calib")
    lines = onnxq.Loader(dataset, preprocessing, range(len(dataset)), batch_size=1)  # widths differ
    recipe = onnxq.Recipe.of(target="onnxruntime", weight_bits=8, act_bits=8)
    onnxq.save_model(onnxq.quantize(given.model, None, recipe, images=lines.images).model, given.output)

    import onnxruntime as ort

    sessions = [ort.InferenceSession(path, onnxq.session_options()) for path in (given.model, given.output)]
    equal = wanted = 0
    for batch in lines.images:
        want, got = (characters(each.run(None, {each.get_inputs()[0].name: batch})[0]) for each in sessions)
        blocks = difflib.SequenceMatcher(None, want, got, autojunk=False).get_matching_blocks()
        equal, wanted = equal + sum(block.size for block in blocks), wanted + len(want)
    print(f"{equal} of {wanted} characters are the float network's")


if __name__ == "__main__":
    main()
