"""Keys of a model's metadata that several stages know, beside those of preprocessing. A ground module."""

DETECTOR = "detector"  # torchvision's function that made a network whose outputs are scores of all anchors
CHARACTERS = "character"  # of the classes of a text recognizer, one a line, as PaddleOCR's exports have them
