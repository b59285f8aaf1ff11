"""Build with timm and torchvision safely: weights only, and clear errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from effcam.errors import EffcamError, ModelError, WeightsError
from effcam.models.architectures import STORES
from effcam.models.pickle_check import check_pickles
from effcam.text import one_line

if TYPE_CHECKING:
    from torch import nn


class Buildable(Protocol):
    """An architecture, as far as building needs it."""

    @property
    def library(self) -> str:
        """``"timm"``, ``"torchvision"``, ``"hf-hub"`` or ``"local-dir"``."""

    @property
    def has_weights(self) -> bool:
        """Whether weights are published for it."""

    def num_classes(self) -> int:
        """Return the number of classes of its weights."""

    def find_weights(self) -> Path | None:
        """Return the file of its weights on this machine."""

    def build(self, *, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
        """Return the module."""


@contextmanager
def guarded(
    architecture: Buildable, *, pretrained: bool, options: Mapping[str, object]
) -> Iterator[None]:
    """Build an architecture within this context: its errors become effcam's, no file runs code.

    Raises:
        ModelError: If the library refuses the options, or they ask for other classes than the
            weights have.
        WeightsError: If the published weights cannot be read.
    """
    if pretrained and architecture.has_weights and "num_classes" in options:
        _check_num_classes(architecture, options["num_classes"])
    try:
        with warnings.catch_warnings(), _weights_only():
            # GoogLeNet and Inception announce a change of their initialisation.
            warnings.filterwarnings(
                "ignore", message=".*weight initialization of", category=FutureWarning
            )
            yield
    except EffcamError:
        raise
    except Exception as error:  # constructors may raise anything for a bad argument
        chosen = f" with {dict(options)}" if options else ""
        if pretrained and _is_buildable(architecture, options):
            raise _bad_weights(architecture, error, chosen) from error
        raise ModelError(f"{architecture} cannot be built{chosen}: {_reason(error)}") from error


def check_weights_file(file: Path) -> None:
    """Refuse published weights that take too much memory or time to open.

    Raises:
        UnpicklingError: If the file is damaged or made to do so.
    """
    if file.suffix not in (".npz", ".safetensors"):
        check_pickles(file)


def _check_num_classes(architecture: Buildable, asked: object) -> None:
    """Refuse a random head on published weights: its heat would mean nothing."""
    published = architecture.num_classes()
    if asked != published:
        raise ModelError(
            f"the weights of {architecture} are for {published} classes, not num_classes={asked}: "
            "give a checkpoint of your own, or pretrained=False for random weights"
        )


def _is_buildable(architecture: Buildable, options: Mapping[str, object]) -> bool:
    """Return whether the constructor takes the options: if so, the weights are bad."""
    try:
        architecture.build(pretrained=False, options=options)
    except ModelError:
        return False
    return True


def _bad_weights(architecture: Buildable, error: Exception, chosen: str) -> WeightsError:
    other = " or not fit its config.json" if architecture.library in STORES else ""
    again = "" if architecture.library == "local-dir" else "; delete it to fetch it again"
    return WeightsError(
        f"the weights of {architecture} cannot be loaded{chosen} from "
        f"{architecture.find_weights()}, so the file may be damaged{other}{again} "
        f"({_reason(error)})"
    )


def _reason(error: Exception) -> str:
    """Return an error's first line, and the next one if the first ends in a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return one_line(f"{first} {lines[1]}" if first.endswith(":") and len(lines) > 1 else first)


@contextmanager
def _weights_only() -> Iterator[None]:
    """Make every ``torch.load`` refuse what could run code.

    torchvision and older releases of timm do not ask for that.
    """
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        del os.environ[names[0]]
        os.environ.update({name: value for name, value in before.items() if value is not None})
