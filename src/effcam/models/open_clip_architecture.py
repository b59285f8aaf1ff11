"""Architectures of open_clip: names, published weights, transforms, construction."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effcam.errors import UnknownModelError, did_you_mean
from effcam.images.preprocess import Preprocess
from effcam.models.downloads import PublishedWeights, require
from effcam.models.image_processor import open_clip_preprocess
from effcam.models.library_guard import check_weights_file, guarded
from effcam.models.text_image_architecture import (
    CONFIG_REMEDY,
    TOKENIZER_FILES,
    TOKENIZER_REMEDY,
    TextImageArchitecture,
    require_package,
)
from effcam.text import natural_key, quote

if TYPE_CHECKING:
    from torch import nn

    from effcam.models.tokenizing import Tokenizer

PARTS = {"embed_dim", "vision_cfg", "text_cfg"}
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
MOST_TAGS = 40
TRANSFORM = ("mean", "std", "interpolation", "resize_mode")
"""The parts of the transform that come with weights."""


@dataclass(frozen=True, slots=True)
class OpenClipArchitecture(TextImageArchitecture):
    """An architecture of open_clip, with the tag of its published weights.

    Attributes:
        name: Its name there, as ``ViT-B-32``.
        tag: The tag of its weights, as ``laion2b_s34b_b79k``; empty for none.
    """

    library: ClassVar[str] = "open_clip"
    package: ClassVar[str] = "open_clip"
    name: str
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.bare}/{self.tag}" if self.tag else self.bare

    @property
    def weights(self) -> str:
        """The tag of its weights."""
        return self.tag

    @property
    def has_weights(self) -> bool:
        """Whether the name has the tag of published weights."""
        return bool(self.tag)

    def check(self, *, pretrained: bool) -> None:
        """Check the name, and that it has a tag if weights are wanted.

        Raises:
            UnknownModelError: If there is no such architecture, or it has no such weights, or
                weights are wanted and the name has no tag.
            ArgumentError: If open_clip is not installed.
        """
        if not _config(self.name):
            require_package(self.package, str(self))
            raise UnknownModelError(
                f"open_clip has no architecture {self.name!r}."
                f"{did_you_mean(self.name, open_clip_names())} "
                "effcam.list_models(source='open_clip') lists all."
            )
        if not self.tag and not pretrained:
            return
        tags = open_clip_tags(self.name)
        if self.tag not in tags:
            raise UnknownModelError(self._no_weights(tags))

    def _no_weights(self, tags: tuple[str, ...]) -> str:
        if not tags:
            return (
                f"no weights are published for {self.bare}: give a checkpoint=, or "
                "pretrained=False for random weights"
            )
        have = f"It has {', '.join(tags[:MOST_TAGS])}."
        if self.tag:
            hint = did_you_mean(self.tag, tags)
            return f"open_clip has no weights {self.tag!r} for {self.name!r}.{hint} {have}"
        return (
            f"{self.bare} needs the tag of its weights, as '{self.bare}/{tags[0]}', or "
            f"pretrained=False for random weights. {have}"
        )

    def weights_name(self) -> str:
        """Return the tag of its weights, for captions."""
        return self.tag

    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` without a tag."""
        if not self.tag:
            return None
        config = self._tag_config(self.tag)
        repository, _, file = str(config.get("hf_hub", "")).rpartition("/")
        if not repository:
            return PublishedWeights(str(self), url=str(config["url"]))
        safe = Path(file).with_suffix(".safetensors").name if file else ""
        return PublishedWeights(str(self), repository, (safe, file) if file else FILES)

    def find_weights(self) -> Path | None:
        """Return the file of its weights if it is on this machine."""
        published = self.published()
        return None if published is None else published.find()

    def preprocess(self) -> Preprocess | None:
        """Return ``None``: the input size is known after building."""

    def module_preprocess(self, module: nn.Module) -> Preprocess | None:
        """Return the evaluation transform that a built model carries."""
        return open_clip_preprocess(module)

    def build(self, *, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
        """Return the model of images and texts on the CPU, with its weights if ``pretrained``.

        Raises:
            ModelError: If open_clip refuses the options.
            WeightsError: If the weights, or the configuration of the text tower, cannot be
                fetched or read.
        """
        open_clip = require_package(self.package, str(self))
        self._require_text_config()
        settings = {"pretrained_text": False, "load_weights": False} | self._settings()
        with guarded(self, pretrained=pretrained, options=options), _quiet():
            published = self.published() if pretrained else None
            if published is not None:
                file = published.fetch()
                check_weights_file(file)
                settings |= {"pretrained": str(file), "load_weights": True}
            module: nn.Module = open_clip.create_model(self.name, **settings | dict(options))
        return module

    def tokenizer(self) -> Tokenizer:
        """Return its tokenizer.

        Raises:
            WeightsError: If it is on the Hugging Face hub, and can be neither found nor fetched.
        """
        open_clip = require_package(self.package, str(self))
        repository = self._text_config().get("hf_tokenizer_name", "")
        options = {}
        if repository:
            files = PublishedWeights(
                str(self),
                repository,
                TOKENIZER_FILES,
                kind="files of the tokenizer",
                remedy=TOKENIZER_REMEDY,
            )
            require([files])
            options = {"local_files_only": True} if files.find() else {}
        with guarded(self, pretrained=False, options={}), _quiet():
            tokenizer: Tokenizer = open_clip.get_tokenizer(self.name, **options)
        return tokenizer

    def _settings(self) -> dict[str, Any]:
        """Return the settings that weights need: the transform, and the activation.

        The tag has the activation that its weights were trained with. The architecture's own one
        may be another, and open_clip only warns of that. Without a tag, the transform is that of
        the published weights if all of them have the same.
        """
        tags = [self.tag] if self.tag else open_clip_tags(self.name)
        every = [self._tag_config(tag) for tag in tags]
        transforms = [{key: config.get(key) for key in TRANSFORM} for config in every]
        found: dict[str, Any] = {}
        if transforms and all(each == transforms[0] for each in transforms):
            known = {key: value for key, value in transforms[0].items() if value is not None}
            found["force_preprocess_cfg"] = known
        if self.tag:
            found["quick_gelu"] = bool(every[0].get("quick_gelu", False))
        return found

    def _require_text_config(self) -> None:
        """Make sure that the configuration of a text tower of transformers can be had."""
        repository = self._text_config().get("hf_model_name", "")
        if repository:
            wanted = PublishedWeights(str(self), repository, ("config.json",))
            replace(wanted, kind="configuration files", remedy=CONFIG_REMEDY).fetch()

    def _text_config(self) -> Mapping[str, Any]:
        found = _config(self.name).get("text_cfg")
        return found if isinstance(found, dict) else {}

    def _tag_config(self, tag: str) -> Mapping[str, Any]:
        open_clip = require_package(self.package, str(self))
        return dict(open_clip.get_pretrained_cfg(self.name, tag))


def find_open_clip(place: str) -> OpenClipArchitecture:
    """Return the architecture that a name without its prefix stands for.

    Args:
        place: ``ViT-B-32/laion2b_s34b_b79k``, or ``ViT-B-32``.

    Raises:
        UnknownModelError: If the name is empty or has too many parts.
    """
    name, _, tag = place.partition("/")
    if not name or "/" in tag or ":" in place:
        raise UnknownModelError(
            f"no model is called {quote(f'open_clip:{place}')}: expected open_clip:ARCHITECTURE/TAG"
        )
    return OpenClipArchitecture(name, tag.lower().replace("-", "_"))


def open_clip_names() -> tuple[str, ...]:
    """Return open_clip's architectures in natural order, empty if it is not installed.

    Its configuration files are read; the package is not imported.
    """
    return tuple(_configs())


def open_clip_tags(name: str) -> tuple[str, ...]:
    """Return the tags of an architecture's published weights.

    Raises:
        ArgumentError: If open_clip is not installed.
    """
    open_clip = require_package("open_clip", f"open_clip:{name}")
    return tuple(open_clip.list_pretrained_tags_by_model(name))


def open_clip_size(name: str) -> tuple[int, int] | None:
    """Return the input size of an architecture, (height, width) in px, if it is known."""
    size = _config(name).get("vision_cfg", {}).get("image_size")
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if isinstance(size, list) and len(size) == 2 else None


def _config(name: str) -> Mapping[str, Any]:
    """Return the configuration of an architecture, also one that was added; empty if unknown."""
    open_clip = sys.modules.get("open_clip")
    added = open_clip.get_model_config(name) if open_clip and name not in _configs() else None
    return _configs().get(name) or added or {}


@cache
def _configs() -> Mapping[str, Mapping[str, Any]]:
    found = find_spec("open_clip")
    folders = found.submodule_search_locations if found else None
    files = [
        file for folder in folders or () for file in (Path(folder) / "model_configs").glob("*.json")
    ]
    configs = {file.stem: json.loads(file.read_text("utf-8")) for file in files}
    complete = {name: config for name, config in configs.items() if config.keys() >= PARTS}
    return {name: complete[name] for name in sorted(complete, key=natural_key)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Let open_clip log to the root logger without its setting that up for the whole process."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
