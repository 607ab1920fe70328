"""A trained APoT network in torch and as an imported file: logits side by side.

    python benchmarks/apot.py [--json FILE]

Trains the stand-in of models/train_apot.py first (a minute, at 3 bits). Where an activation lies on the
bound between two levels, the order in which a convolution adds up decides; torch differs from itself there, between
batches of another size, and so it is run twice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "models"))

import train_apot  # noqa: E402
from train_demo import images  # noqa: E402

from onnxq.export.apot.importing import import_apot  # noqa: E402

BITS, IMAGES, EQUAL = 3, 200, 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"res20_{BITS}bit" / "model_best.pth.tar"
        subprocess.run([sys.executable, ROOT / "models" / "train_apot.py", "--bits", str(BITS), "-o", path], check=True)
        file = import_apot(path, "res20").SerializeToString()
        state = torch.load(path, weights_only=True)["state_dict"]
    model = train_apot.network("res20", BITS, 60)
    model.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    model.eval()
    pixels, labels = images("train", IMAGES)
    x = train_apot.prepared(pixels)
    with torch.no_grad():
        together, alone = model(x).numpy(), np.concatenate([model(x[i : i + 1]).numpy() for i in range(IMAGES)])
    got = ort.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"input": x.numpy()})[0]
    differs, itself = (np.abs(other - together).max(axis=1) for other in (got, alone))
    report = {
        "images": IMAGES,
        "largest_logit": float(np.abs(together).max()),
        "equal": int((differs < EQUAL).sum()),
        "largest_difference_of_these": float(differs[differs < EQUAL].max()),
        "largest_difference_of_others": float(differs.max()),
        "torch_equal_to_itself": int((itself < EQUAL).sum()),
        "torch_from_itself": float(itself.max()),
        "same_class": int((got.argmax(axis=1) == together.argmax(axis=1)).sum()),
        "top1_torch": float((together.argmax(axis=1) == labels.numpy()).mean() * 100),
        "top1_file": float((got.argmax(axis=1) == labels.numpy()).mean() * 100),
    }
    print(json.dumps(report, indent=2))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
