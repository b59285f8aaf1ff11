"""CAM methods: effcam's own and grad-cam's by name, and functions of the user.

This module does not import torch, so that the command line can list the methods quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from effcam.cam.methods.listing import MethodList, known_costs

if TYPE_CHECKING:
    from effcam.cam.methods.formulas import Formula

Need: TypeAlias = Literal["activations", "gradients", "attention", "passes"]
"""What a method needs: the layer's activations, gradients, attention, or more forward passes."""
Source: TypeAlias = Literal["layer", "attention", "pixels"]
"""What the cells of a map are: those of the target layer, those of the network's tokens, or parts
of its input."""
GRADIENTS: tuple[Need, ...] = ("activations", "gradients")


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What is known of a method.

    Attributes:
        name: Its name.
        idea: What its map is, in a few words.
        paper: Authors, year and arXiv id or DOI.
        needs: What it needs beside one forward pass.
        source: What the cells of its map are.
        by_target: Whether its map depends on what is asked.
        signed: Whether its map differs from that of the opposite question.
        adds: Whether its map is a sum over the channels of the target layer.
        samples: How many changed copies of an image it makes, unless told; 0 if it makes none.
        by_channel: Whether it runs the network once for each channel of the target layer.
        class_only: Whether it explains a single class only.
        relu_only: Whether it is for networks whose activations are ReLUs only.
        fuses: Whether it makes one map of several target layers as the option ``fuse`` says.
        grad_cam: The class of the grad-cam package that computes it; empty if effcam does.
        reads_biases: Whether it reads the biases of the network's layers.
    """

    name: str
    idea: str
    paper: str
    needs: tuple[Need, ...]
    source: Source = "layer"
    by_target: bool = True
    signed: bool = True
    adds: bool = True
    samples: int = 0
    by_channel: bool = False
    class_only: bool = False
    relu_only: bool = False
    fuses: bool = True
    grad_cam: str = ""
    reads_biases: bool = False

    @property
    def cost(self) -> dict[str, float]:
        """The time of a map by model, as a multiple of that of one forward pass, as measured."""
        return known_costs().get(self.name, {})


OWN = (
    MethodFacts(
        "gradcam",
        "channels weighted by their mean gradient",
        "Selvaraju et al. 2017, arXiv:1610.02391",
        GRADIENTS,
    ),
    MethodFacts(
        "gradcam++",
        "channels weighted by their positive gradients, more so at cells that matter more",
        "Chattopadhyay et al. 2018, arXiv:1710.11063",
        GRADIENTS,
    ),
    MethodFacts(
        "hirescam",
        "gradient times activation, cell by cell",
        "Draelos and Carin 2020, arXiv:2011.08891",
        GRADIENTS,
    ),
    MethodFacts(
        "xgradcam",
        "channels weighted by their mean gradient, weighted by the activations",
        "Fu et al. 2020, arXiv:2008.02312",
        GRADIENTS,
    ),
    MethodFacts(
        "layercam",
        "positive gradient times activation, cell by cell",
        "Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
        GRADIENTS,
    ),
    MethodFacts(
        "gradcamelementwise",
        "hirescam without its negative products",
        "as in grad-cam",
        GRADIENTS,
    ),
    MethodFacts(
        "eigengradcam",
        "first principal component of gradient times activation",
        "Muhammad and Yeasin 2020, arXiv:2008.00299, with gradients",
        GRADIENTS,
        signed=False,
        adds=False,
    ),
    MethodFacts(
        "eigencam",
        "first principal component of the activations",
        "Muhammad and Yeasin 2020, arXiv:2008.00299",
        ("activations",),
        by_target=False,
        adds=False,
    ),
    MethodFacts(
        "scorecam",
        "channels weighted by the score of the image that they mask",
        "Wang et al. 2020, arXiv:1910.01279",
        ("activations", "passes"),
        by_channel=True,
    ),
    MethodFacts(
        "ablationcam",
        "channels weighted by the share of the score that is lost without them",
        "Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
        ("activations", "passes"),
        by_channel=True,
    ),
    MethodFacts(
        "sscam",
        "scorecam with noisy masks, their scores averaged",
        "Wang et al. 2020, arXiv:2006.14255",
        ("activations", "passes"),
        samples=10,
        by_channel=True,
    ),
    MethodFacts(
        "iscam",
        "scorecam with masks of growing strength, their scores averaged",
        "Naidu et al. 2020, arXiv:2010.03023",
        ("activations", "passes"),
        samples=10,
        by_channel=True,
    ),
    MethodFacts(
        "smoothgradcam++",
        "gradcam++ with gradients averaged over noisy copies of the image",
        "Omeiza et al. 2019, arXiv:1908.01224",
        ("activations", "gradients", "passes"),
        samples=10,
    ),
    MethodFacts(
        "inputxgradient",
        "gradient times input, pixel by pixel",
        "Shrikumar et al. 2016, arXiv:1605.01713",
        ("gradients", "passes"),
        source="pixels",
        adds=False,
    ),
    MethodFacts(
        "integratedgradients",
        "input times the gradient averaged on the way from the mean colour to the image",
        "Sundararajan et al. 2017, arXiv:1703.01365",
        ("gradients", "passes"),
        source="pixels",
        adds=False,
        samples=32,
    ),
    MethodFacts(
        "smoothgrad",
        "magnitude of the gradient averaged over noisy copies of the image",
        "Smilkov et al. 2017, arXiv:1706.03825",
        ("gradients", "passes"),
        source="pixels",
        signed=False,
        adds=False,
        samples=32,
    ),
    MethodFacts(
        "guidedbackprop",
        "magnitude of the gradient, without its negative parts at every ReLU",
        "Springenberg et al. 2014, arXiv:1412.6806",
        ("gradients", "passes"),
        source="pixels",
        adds=False,
        relu_only=True,
    ),
    MethodFacts(
        "occlusion",
        "loss of the score where a sliding window of the mean colour covers the image",
        "Zeiler and Fergus 2014, arXiv:1311.2901",
        ("passes",),
        source="pixels",
        adds=False,
    ),
    MethodFacts(
        "rise",
        "gain of the score where random masks leave the image visible",
        "Petsiuk et al. 2018, arXiv:1806.07421",
        ("passes",),
        source="pixels",
        adds=False,
        samples=1_000,
    ),
    MethodFacts(
        "legrad",
        "positive gradients of each layer's score at the weights of attention",
        "Bousselham et al. 2024, arXiv:2404.03214",
        ("attention", "gradients"),
        source="attention",
        adds=False,
    ),
    MethodFacts(
        "rollout",
        "the product of all layers' matrices of attention, with shortcuts",
        "Abnar and Zuidema 2020, arXiv:2005.00928",
        ("attention",),
        source="attention",
        by_target=False,
        adds=False,
    ),
    MethodFacts(
        "chefer",
        "rollout of attention weighted by its positive gradients",
        "Chefer et al. 2021, arXiv:2012.09838, arXiv:2103.15679",
        ("attention", "gradients", "passes"),
        source="attention",
        adds=False,
    ),
)
"""effcam's own methods, those of one shared pass first."""
METHODS = tuple(each.name for each in OWN)
"""The names of effcam's own methods."""

Method: TypeAlias = Union[str, "Formula"]
"""The name of a method, or a function with the signature of a formula."""


@cache
def methods() -> MethodList:
    """Return what is known of each method: effcam's own, then those named like grad-cam's classes.

    The latter are the CAM classes of the installed grad-cam, by their names in lower case. The list
    prints as a table.

    >>> [each.name for each in methods() if not each.by_target]
    ['eigencam', 'rollout', 'fem', 'kpcacam', 'randomcam']
    """
    # It needs the record that is defined here.
    from effcam.cam.methods.grad_cam_facts import facts_of_others

    return MethodList((*OWN, *facts_of_others(METHODS)))


@cache
def facts_of_method(name: str) -> MethodFacts | None:
    """Return what is known of a method; ``None`` of a function's name."""
    # The others' names are read from grad-cam's files, which effcam's own methods do not need.
    known = OWN if name in METHODS else methods()
    return next((each for each in known if each.name == name), None)


def default_samples(name: str) -> int:
    """Return how many changed copies of an image one of effcam's own methods makes by itself."""
    return next(each.samples for each in OWN if each.name == name)


def reads_layer(name: str) -> bool:
    """Return whether the cells of a method's map are those of the target layer."""
    known = facts_of_method(name)
    return known is None or known.source == "layer"


def reads_attention(method: Method) -> bool:
    """Return whether a method needs the attention of the network's pass."""
    known = facts_of_method(method) if isinstance(method, str) else None
    return known is not None and known.source == "attention"


def depends_on_target(name: str) -> bool:
    """Return whether a method's map depends on what is asked."""
    known = facts_of_method(name)
    return known is None or known.by_target


def tells_opposites(name: str) -> bool:
    """Return whether a method's map differs from that of the opposite question."""
    known = facts_of_method(name)
    return known is None or known.signed


def explains_class_only(name: str) -> bool:
    """Return whether a method explains a single class only."""
    known = facts_of_method(name)
    return known is not None and known.class_only


def name_of(method: Method) -> str:
    """Return a method's name in columns and records."""
    return method if isinstance(method, str) else str(getattr(method, "__name__", ""))
