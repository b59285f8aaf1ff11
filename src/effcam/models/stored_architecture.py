"""timm models in a folder or on the Hugging Face hub, stored with their ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effcam.errors import ModelError, UnknownModelError, WeightsError
from effcam.images.preprocess import Preprocess
from effcam.models.architectures import Store
from effcam.models.downloads import PublishedWeights, is_repository
from effcam.models.library_guard import guarded
from effcam.models.stored_config import CONFIG, StoredConfig, architecture_of, parse, read_json
from effcam.models.timm_architecture import (
    HUB_FILES,
    TimmArchitecture,
    preprocess_of_config,
    read_from,
)
from effcam.text import quote

if TYPE_CHECKING:
    from torch import nn

CONFIG_REMEDY = (
    "Go online once so that they can be fetched, or give a folder that holds the model "
    "(local-dir:FOLDER)."
)


@dataclass(frozen=True, slots=True)
class StoredArchitecture:
    """A timm model that is stored with its configuration and its weights.

    Attributes:
        library: ``"hf-hub"`` for a repository on the hub, ``"local-dir"`` for a folder.
        name: ``OWNER/NAME``, perhaps with ``@REVISION``; or the folder.
    """

    has_num_classes: ClassVar[bool] = True
    has_weights: ClassVar[bool] = True
    library: Store
    name: str

    @property
    def bare(self) -> str:
        """The name with its store."""
        return f"{self.library}:{self.name}"

    def __str__(self) -> str:
        return self.bare

    @property
    def weights(self) -> str:
        """Its weights have no name."""
        return ""

    def weights_name(self) -> str:
        """Return the name of the file of its weights, for captions."""
        return self.find_weights().name

    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` for a folder.

        Raises:
            WeightsError: If the folder, its configuration or its weights are missing.
        """
        if self.library == "hf-hub":
            return self._on_hub(HUB_FILES)
        self.find_weights()
        return None

    def find_weights(self) -> Path:
        """Return the file of its weights, fetched if it is on the hub.

        Raises:
            WeightsError: If it cannot be found or fetched.
        """
        if self.library == "hf-hub":
            return self._on_hub(HUB_FILES).fetch()
        folder = self._folder()
        found = [folder / name for name in HUB_FILES if (folder / name).is_file()]
        if not found:
            raise WeightsError(
                f"folder {str(folder)!r} holds no weights: expected {' or '.join(HUB_FILES)}"
            )
        return found[0]

    def facts(self) -> None:
        """Return what the table holds of it: its structure may differ from its architecture's."""

    def preprocess(self) -> Preprocess:
        """Return the evaluation transform that its configuration states."""
        return preprocess_of_config(self.read_config().weights)

    def num_classes(self) -> int:
        """Return the number of classes of its weights."""
        return int(self.read_config().weights["num_classes"])

    def has_classifier(self) -> bool:
        """Return whether its weights have a classifier; some have features only."""
        return self.num_classes() > 0

    def class_names(self) -> None:
        """Return ``None``: its classes are known only after its configuration was fetched."""

    def size_option(self) -> str:
        """Return the constructor's option for the input size; empty if any size fits."""
        return "img_size" if self.read_config().weights.get("fixed_input_size") else ""

    def build(self, *, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
        """Return the module on the CPU, with its stored weights if ``pretrained``.

        Raises:
            ModelError: If it is not a timm model, or timm refuses the options.
            WeightsError: If the configuration or the weights cannot be found, fetched or read.
        """
        import timm
        from timm.models import PretrainedCfg

        with guarded(self, pretrained=pretrained, options=options):
            stored = self.read_config()
            known = {field.name for field in fields(PretrainedCfg)}
            config = {key: value for key, value in stored.weights.items() if key in known}
            if pretrained:
                config |= {"source": ""} | read_from(self.find_weights())
            return timm.create_model(
                stored.architecture,
                pretrained=pretrained,
                pretrained_cfg=config,
                **stored.arguments | dict(options),
            )

    def read_config(self) -> StoredConfig:
        """Return the content of its ``config.json``, fetched if it is on the hub.

        Raises:
            WeightsError: If there is none or it cannot be fetched or read.
            ModelError: If it does not describe a timm model.
        """
        file = self._config_file()
        content = read_json(file)
        name, named = architecture_of(content)
        if not TimmArchitecture.has(name):
            raise ModelError(
                f"{self} is no timm model: its {CONFIG} names {named or 'no architecture'}"
                f"{', which timm does not have' if named else ''}. Load it with the library that "
                "it was made for, and give effcam the module"
            )
        return parse(content, str(file))

    def _config_file(self) -> Path:
        if self.library != "hf-hub":
            return self._folder() / CONFIG
        wanted = self._on_hub((CONFIG,))
        return replace(wanted, kind="configuration files", remedy=CONFIG_REMEDY).fetch()

    def _folder(self) -> Path:
        try:
            folder = Path(self.name).expanduser()
            has_config, is_folder = (folder / CONFIG).is_file(), folder.is_dir()
        except (OSError, RuntimeError) as error:  # no permission, a name too long, no such home
            raise WeightsError(f"folder {self.name!r} cannot be read: {error}") from error
        if not has_config:
            missing = f"holds no {CONFIG}" if is_folder else "does not exist"
            raise WeightsError(
                f"folder {str(folder)!r} {missing}: expected a folder as timm saves models, with "
                f"{CONFIG} and {HUB_FILES[0]}"
            )
        return folder

    def _on_hub(self, files: tuple[str, ...]) -> PublishedWeights:
        repository, _, revision = self.name.partition("@")
        if not is_repository(repository):
            raise UnknownModelError(
                f"no model is called {quote(str(self))}: expected hf-hub:OWNER/NAME or "
                "hf-hub:OWNER/NAME@REVISION"
            )
        return PublishedWeights(str(self), repository, files, revision=revision)
