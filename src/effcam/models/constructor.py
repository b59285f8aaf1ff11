"""A callable of the caller's own that returns a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from effcam.errors import ModelError
from effcam.models.built_module import AS_GIVEN
from effcam.models.wrappers import check_module, unwrap


@dataclass(frozen=True, slots=True)
class Constructor:
    """A callable of the caller's own, in place of a library's architecture.

    Attributes:
        name: The model's name.
        call: The callable.
    """

    has_weights: ClassVar[bool] = False
    has_num_classes: ClassVar[bool] = False
    name: str
    call: Callable[..., object]

    @property
    def bare(self) -> str:
        """The name."""
        return self.name

    def __str__(self) -> str:
        return self.name

    @property
    def is_own(self) -> bool:
        """Whether it is effcam's own, which returns a new network at each call."""
        code = self.call.func if isinstance(self.call, partial) else self.call
        return str(getattr(code, "__module__", "")).startswith("effcam.")

    def weights_name(self) -> str:
        """Return the name of its weights, for captions."""
        return AS_GIVEN

    def published(self) -> None:
        """Return ``None``: no weights are published for it."""

    def facts(self) -> None:
        """Return ``None``: the table holds architectures of the libraries."""

    def preprocess(self) -> None:
        """Return ``None``: the transform is known only after building."""

    def class_names(self) -> None:
        """Return ``None``: the classes are known only after building."""

    def size_option(self) -> str:
        """Return an empty text: no option for the input size is known."""
        return ""

    def build(self, *, pretrained: bool, options: Mapping[str, object]) -> nn.Module:
        """Return the module, without its wrappers.

        Raises:
            ModelError: If the callable fails, or returns no network.
        """
        del pretrained  # what the callable does about weights is its own affair
        try:
            module = self.call(**options)
        except Exception as error:  # the caller's code may raise anything
            chosen = f" with {dict(options)}" if options else ""
            message = f"the constructor of {self.name!r} failed{chosen}: {error!r}"
            raise ModelError(message) from error
        if not isinstance(module, nn.Module):
            raise ModelError(
                f"the constructor of {self.name!r} returned a {type(module).__name__}, not an "
                "nn.Module"
            )
        inner = unwrap(module)
        check_module(inner, self.name)
        return inner
