"""The networks that the published APoT system trained. A part of ``export.apot``, without torch."""

BLOCKS = {"res20": 3, "res56": 9}  # a stage, of the ResNets for CIFAR
TORCHVISION = {"resnet18": "resnet18", "resnet34": "resnet34", "resnet50": "resnet50", "mobilenetv2": "mobilenet_v2"}
ARCHS = (*BLOCKS, *TORCHVISION)
