"""CAM methods: effcam's own and grad-cam's by name, and functions of the user.

This module does not import torch, so that the command line can list the methods quickly.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from effcam.cam.grad_cam_names import grad_cam_classes
from effcam.cam.method_options import RESOLUTION, MethodOptions
from effcam.errors import ArgumentError, did_you_mean

if TYPE_CHECKING:
    from effcam.cam.formulas import Formula

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
        grad_cam: The class of the grad-cam package that computes it; empty if effcam does.
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
    grad_cam: str = ""


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
    ),
    MethodFacts(
        "eigencam",
        "first principal component of the activations",
        "Muhammad and Yeasin 2020, arXiv:2008.00299",
        ("activations",),
        by_target=False,
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
ON_ANY_NETWORK = tuple(each.name for each in OWN if each.source != "attention")
"""Those that networks without attention can be looked at with, too."""

Method: TypeAlias = Union[str, "Formula"]
"""The name of a method, or a function with the signature of a formula."""


@cache
def methods() -> tuple[MethodFacts, ...]:
    """Return what is known of each method: effcam's own, then the others of grad-cam.

    The latter are the CAM classes of the installed grad-cam, by their names in lower case.

    >>> [each.name for each in methods() if "attention" not in each.needs][:3]
    ['gradcam', 'gradcam++', 'hirescam']
    """
    others = {name: each for name, each in grad_cam_classes().items() if name not in METHODS}
    return (*OWN, *(_of_grad_cam(name, each) for name, each in others.items()))


@cache
def facts_of_method(name: str) -> MethodFacts | None:
    """Return what is known of a method; ``None`` of a function's name."""
    return next((each for each in methods() if each.name == name), None)


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


def _of_grad_cam(name: str, class_name: str) -> MethodFacts:
    return MethodFacts(
        name,
        f"grad-cam's {class_name}",
        "see grad-cam",
        ("activations", "gradients"),
        grad_cam=class_name,
    )


def check_methods(given: Method | Sequence[Method]) -> tuple[Method, ...]:
    """Return one or several methods as a tuple of names and functions.

    Raises:
        ArgumentError: If there is none, two have one name, no method has a name, or a function has
            none.
    """
    several: tuple[Method, ...]
    if isinstance(given, str) or callable(given):
        several = (given,)
    elif isinstance(given, Sequence):
        several = tuple(given)
    else:
        raise ArgumentError(
            f"method must be a name, a function, or several of these, not {given!r}"
        )
    known = [each.name for each in methods()]
    for method in several:
        if callable(method):
            check_own(method, known)
        elif method not in known:
            hint = did_you_mean(str(method), known)
            raise ArgumentError(
                f"no method is called {method!r}.{hint} The methods are {', '.join(known)}."
            )
    names = [name_of(method) for method in several]
    if not names:
        raise ArgumentError(f"method must be one or several, not {given!r}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(
            f"two methods are called {twice!r}: in columns and records their names must differ"
        )
    return several


def check_options(options: MethodOptions, given: Sequence[Method]) -> None:
    """Check that each option that was given changes what one of the methods does.

    Raises:
        ArgumentError: If one does not, or a method has no channels for ``eigen_smooth``.
    """
    known = {name_of(each): facts_of_method(name_of(each)) for each in given}
    found = [each for each in known.values() if each is not None]
    names = ", ".join(known)
    if options.resolution != RESOLUTION and all(each.source != "pixels" for each in found):
        raise ArgumentError(f"resolution is for maps of the input's pixels, not for {names}")
    if options.samples is not None and not any(each.samples for each in found):
        raise ArgumentError(f"samples is for methods that make copies of an image, not for {names}")
    if options.channels is not None and not any(each.by_channel for each in found):
        raise ArgumentError(f"channels is for methods of a pass for each channel, not for {names}")
    if options.eigen_smooth:
        bad = next((name for name, each in known.items() if each is None or not each.adds), None)
        if bad is not None:
            raise ArgumentError(f"eigen_smooth is for sums over channels, and {bad} is none")


def name_of(method: Method) -> str:
    """Return a method's name in columns and records."""
    return method if isinstance(method, str) else str(getattr(method, "__name__", ""))


def check_own(method: Formula, taken: Container[str]) -> None:
    """Check the name of a user's function.

    Args:
        method: The function.
        taken: The names of all methods.

    Raises:
        ArgumentError: If it has no name, or one that is taken.
    """
    name = name_of(method)
    if name in ("", "<lambda>"):
        kind = "lambda" if name else type(method).__name__
        raise ArgumentError(
            f"a {kind} has no name, which columns and records need: define the method with def"
        )
    if name in taken:
        raise ArgumentError(f"a function called {name!r} has the name of a method: rename it")
