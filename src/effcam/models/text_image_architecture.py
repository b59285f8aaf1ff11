"""What named models of images and texts have in common, of whichever library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effcam.errors import ArgumentError
from effcam.images.preprocess import Preprocess
from effcam.models.downloads import PublishedWeights

if TYPE_CHECKING:
    from torch import nn

    from effcam.models.tokenizing import Tokenizer

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "vocab.json",
)
TOKENIZER_REMEDY = (
    "Go online once so that they can be fetched; images can be compared with each other without "
    "them."
)
CONFIG_REMEDY = "Go online once so that they can be fetched."


class TextImageArchitecture(ABC):
    """A model of images and texts by name; without classes until it gets labels."""

    has_num_classes: ClassVar[bool] = False
    library: ClassVar[str]
    package: ClassVar[str]
    """The name of the package in Python."""
    name: str

    @property
    def bare(self) -> str:
        """The name with its library, without weights."""
        return f"{self.library}:{self.name}"

    def __str__(self) -> str:
        return self.bare

    @property
    @abstractmethod
    def weights(self) -> str:
        """The name of its weights; empty if they have none."""

    @property
    @abstractmethod
    def has_weights(self) -> bool:
        """Whether the name stands for published weights."""

    @abstractmethod
    def check(self, *, pretrained: bool) -> None:
        """Check the name.

        Raises:
            UnknownModelError: If it stands for no model, or for no weights and some are wanted.
            ArgumentError: If the library is not installed.
        """

    @abstractmethod
    def weights_name(self) -> str:
        """Return the name of its weights, for captions."""

    @abstractmethod
    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` if there are none, or a folder."""

    @abstractmethod
    def find_weights(self) -> Path | None:
        """Return the file of its weights if it is on this machine."""

    @abstractmethod
    def preprocess(self) -> Preprocess | None:
        """Return the evaluation transform of its weights; ``None`` if it is known after building.

        Raises:
            ModelError: If effcam has no such transform.
        """

    @abstractmethod
    def module_preprocess(self, module: nn.Module) -> Preprocess | None:
        """Return the evaluation transform that a built model carries, ``None`` without one."""

    @abstractmethod
    def build(self, *, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
        """Return the model of images and texts on the CPU, with its weights if ``pretrained``.

        Raises:
            ModelError: If the library refuses the options.
            WeightsError: If the weights cannot be found, fetched or read.
        """

    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """Return its tokenizer.

        Raises:
            WeightsError: If its files can be neither found nor fetched.
        """

    def facts(self) -> None:
        """Return ``None``: the table holds architectures of timm and torchvision."""
        return

    def num_classes(self) -> int:
        """Return 0: it has no classes of its own."""
        return 0

    def has_classifier(self) -> bool:
        """Return false: it has classes only if it gets labels."""
        return False

    def class_names(self) -> None:
        """Return ``None``: it has no classes of its own."""
        return

    def size_option(self) -> str:
        """Return an empty text: it is built for the size of its weights."""
        return ""


def require_package(package: str, name: str) -> Any:
    """Return a package of the extra ``clip``.

    Args:
        package: Its name in Python.
        name: The model that needs it, for the message.

    Raises:
        ArgumentError: If it is not installed.
    """
    if find_spec(package) is None:
        raise ArgumentError(
            f"{name} needs the package {package}, which is not installed: "
            "pip install 'effcam[clip]'"
        )
    return import_module(package)
