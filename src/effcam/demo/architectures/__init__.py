"""The architectures of the demo's networks: AlexNet, DenseNet, ResNet, EfficientNet, of any width.

They compute what the classes of timm (ResNet) and torchvision (the others) do, with the same names
of layers and weights, which a test holds. Those two libraries take several times as long to import
as torch itself, so that the demo would be slow to start.
"""
