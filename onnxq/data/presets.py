"""Preprocessing that many networks share, by name. A part of ``data``, offered by the command line."""

from __future__ import annotations

from onnxq.data.preprocessing import Preprocessing

HALF = (0.5, 0.5, 0.5)
ZERO, ONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
PRESETS = {
    "imagenet": Preprocessing(),
    "imagenet-299": Preprocessing(input_size=(3, 299, 299), resize=342, crop=299),
    "timm": Preprocessing(resize=248, mean=HALF, std=HALF, interpolation="bicubic"),
    "cifar": Preprocessing(
        input_size=(3, 32, 32), resize=None, crop=None, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
    ),
    "cifar-224": Preprocessing(resize=224, crop=224),
    "yolo": Preprocessing((3, 640, 640), (640, 640), None, ZERO, ONE, fit="letterbox"),
    "yolox": Preprocessing((3, 640, 640), (640, 640), None, ZERO, ONE, fit="corner", scale=1.0, color="bgr"),
    "paddleocr-det": Preprocessing((3, 640, 640), (640, 640), None, fit="stretch", color="bgr"),
    "paddleocr-rec": Preprocessing((3, 48, 320), (48, 320), None, HALF, HALF, fit="height", color="bgr"),
    "demo": Preprocessing(input_size=(3, 64, 64), resize=None, crop=None, mean=(0.45,) * 3, std=(0.25,) * 3),
    "demo-32": Preprocessing(input_size=(3, 32, 32), resize=32, crop=32, mean=(0.45,) * 3, std=(0.25,) * 3),
}
