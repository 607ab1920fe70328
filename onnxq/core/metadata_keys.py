"""Keys of a model's metadata that several stages know, beside those of preprocessing. A ground module."""

DETECTOR = "detector"  # torchvision's function that made a network whose outputs are scores of all anchors
RECIPE = "onnxq.recipe"  # as JSON: it makes the file again
SOURCE = "onnxq.source"  # fingerprint of the float model
CALIBRATION_IMAGES = "onnxq.calibration_images"  # how many statistics are of
IMAGES = "onnxq.images"  # how many were given, those held back included
TRIED = "onnxq.tried"  # JSON: bits, bytes and loss of the files that a search for this one tried
CHARACTERS = "character"  # of the classes of a text recognizer, one a line, as PaddleOCR's exports have them
