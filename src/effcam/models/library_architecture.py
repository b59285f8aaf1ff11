"""What the architectures of libraries have in common: names, and one set of published weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effcam.images.preprocess import Preprocess
from effcam.models.architectures import (
    ArchitectureFacts,
    Library,
    find_facts,
    is_headless,
    known_names,
)
from effcam.models.downloads import PublishedWeights

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class LibraryArchitecture(ABC):
    """An architecture of a library and, where it has any, one set of its published weights.

    Attributes:
        name: Its name there, without weights.
        weights: The library's name of the weights; empty where there are none.
    """

    has_num_classes: ClassVar[bool] = True
    library: ClassVar[Library]
    name: str
    weights: str = ""

    @staticmethod
    @abstractmethod
    def library_names() -> tuple[str, ...]:
        """Return the library's own list of its architectures, in its order."""

    @staticmethod
    @abstractmethod
    def library_weights(name: str) -> list[str]:
        """Return the library's own list of an architecture's weights, the default first."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all architectures: the table's, or those of another version."""
        return known_names(cls.library) or cls.library_names()

    @classmethod
    def has(cls, name: str) -> bool:
        """Return whether there is such an architecture."""
        return name in cls.names()

    @classmethod
    def weights_names(cls, name: str) -> list[str]:
        """Return the names of an architecture's published weights, the default first."""
        facts = find_facts(cls.library, name)
        return cls.library_weights(name) if facts is None else list(facts.weights)

    @property
    def bare(self) -> str:
        """The name with its library, without weights."""
        return f"{self.library}:{self.name}"

    def __str__(self) -> str:
        return f"{self.library}:{self.full_name}"

    @property
    def full_name(self) -> str:
        """The name with weights, without its library."""
        return f"{self.name}.{self.weights}" if self.weights else self.name

    @property
    def has_weights(self) -> bool:
        """Whether weights are published for it."""
        return bool(self.weights)

    def weights_name(self) -> str:
        """Return the name of its weights, for captions."""
        return self.weights

    @abstractmethod
    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` if there are no weights."""

    def find_weights(self) -> Path | None:
        """Return the file of its weights if it is on this machine."""
        published = self.published()
        return None if published is None else published.find()

    def facts(self) -> ArchitectureFacts | None:
        """Return what the table holds of it."""
        return find_facts(self.library, self.name)

    @abstractmethod
    def preprocess(self) -> Preprocess:
        """Return the evaluation transform that its weights were published with."""

    @abstractmethod
    def num_classes(self) -> int:
        """Return the number of classes of its weights."""

    def has_classifier(self) -> bool:
        """Return whether its weights have a classifier; some have features only."""
        return not is_headless(self.library, self.full_name)

    @abstractmethod
    def class_names(self) -> Sequence[Sequence[str]] | None:
        """Return all names of each class of its weights; ``None`` if they are not known."""

    @abstractmethod
    def size_option(self) -> str:
        """Return the constructor's option for the input size; empty if any size fits."""

    @abstractmethod
    def build(self, *, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
        """Return the module on the CPU, with its published weights if ``pretrained``.

        Raises:
            ModelError: If the library refuses the options.
            WeightsError: If the weights cannot be fetched or read.
        """
