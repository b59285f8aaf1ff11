"""Targets: what is asked of a model, beyond one class.

They go wherever `effcam.compare` takes ``target=``, beside the index and the name of a class, and
functions of the model's output. Wherever a class is named, ``"top1"``, ``"top2"``, ... are the
classes with the highest scores in each image, unless the model has classes of these names.

>>> from effcam.targets import Contrast, Sum, Text
>>> print(Contrast("tabby", "tiger cat"), Sum("tabby", "tiger cat"), Text("a dog"), sep="; ")
tabby - tiger cat; tabby + tiger cat; a dog
"""

from effcam.targets.classes import Above, Contrast, Sum
from effcam.targets.outputs import Similar, Text, Value
from effcam.targets.plain import TopK, parse
from effcam.targets.tasks import BoxScore, Region

__all__ = [
    "Above",
    "BoxScore",
    "Contrast",
    "Region",
    "Similar",
    "Sum",
    "Text",
    "TopK",
    "Value",
    "parse",
]
