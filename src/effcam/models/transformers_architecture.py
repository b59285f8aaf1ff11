"""Models of images and texts of transformers, in a folder or on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from effcam.errors import ModelError, UnknownModelError, WeightsError, reason_of
from effcam.images.preprocess import Preprocess
from effcam.models.downloads import PublishedWeights, is_repository
from effcam.models.image_processor import WAY_OUT, processor_preprocess
from effcam.models.library_guard import check_weights_file, guarded
from effcam.models.stored_config import CONFIG, read_json
from effcam.models.text_image_architecture import (
    CONFIG_REMEDY,
    TOKENIZER_FILES,
    TOKENIZER_REMEDY,
    TextImageArchitecture,
    require_package,
)
from effcam.text import count, listed, quote

if TYPE_CHECKING:
    from torch import nn

    from effcam.models.tokenizing import Tokenizer

INDEX = ".index.json"
FILES = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)
"""The names of the file of weights, or of the list of its parts."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER_SETTINGS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""effcam has fetched the files, and no file runs code."""
ENCODERS = ("get_image_features", "get_text_features")


@dataclass(frozen=True, slots=True)
class TransformersArchitecture(TextImageArchitecture):
    """A model of images and texts that transformers has stored.

    Attributes:
        name: The folder; or ``OWNER/NAME`` on the hub, perhaps with ``@REVISION``.
    """

    library: ClassVar[str] = "hf"
    package: ClassVar[str] = "transformers"
    name: str

    @property
    def weights(self) -> str:
        """Its weights have no name."""
        return ""

    @property
    def has_weights(self) -> bool:
        """Whether the name stands for published weights."""
        return True

    def check(self, *, pretrained: bool) -> None:
        """Check the name.

        Raises:
            UnknownModelError: If neither a folder nor a repository can have it.
            ArgumentError: If transformers is not installed.
        """
        del pretrained  # the configuration is needed in any case, and lies beside the weights
        require_package(self.package, str(self))
        if not self._is_folder() and not is_repository(self._repository()[0]):
            raise UnknownModelError(
                f"no model is called {quote(str(self))}: expected hf:OWNER/NAME, "
                "hf:OWNER/NAME@REVISION or hf:FOLDER"
            )

    def weights_name(self) -> str:
        """Return the name of the file of its weights, for captions."""
        return self.find_weights().name

    def published(self) -> PublishedWeights | None:
        """Return where its weights can be downloaded; ``None`` for a folder.

        Raises:
            WeightsError: If the folder, its configuration or its weights are missing.
        """
        if not self._is_folder():
            return self._on_hub(FILES)
        self.find_weights()
        return None

    def find_weights(self) -> Path:
        """Return the file of its weights or the list of its parts, fetched if it is on the hub.

        Raises:
            WeightsError: If it cannot be found or fetched.
        """
        if not self._is_folder():
            return self._on_hub(FILES).fetch()
        folder = self._folder()
        found = [folder / name for name in FILES if (folder / name).is_file()]
        if not found:
            raise WeightsError(
                f"folder {str(folder)!r} holds no weights: expected {FILES[0]} or {FILES[2]}"
            )
        return found[0]

    def preprocess(self) -> Preprocess:
        """Return the evaluation transform that its image processor describes.

        Raises:
            WeightsError: If its configuration cannot be fetched or read.
            ModelError: If it has none, or effcam has no such transform.
        """
        transformers = require_package(self.package, str(self))
        folder = self._folder()
        if not any(self._has(name) for name in PROCESSORS):
            raise ModelError(f"{self} has no {PROCESSORS[0]}: {WAY_OUT}")
        try:
            processor = transformers.AutoImageProcessor.from_pretrained(str(folder), **LOCAL)
        except Exception as error:  # transformers may raise anything for a bad file
            raise ModelError(
                f"the image processor of {self} cannot be read ({_first_line(error)}): {WAY_OUT}"
            ) from error
        try:
            return processor_preprocess(processor)
        except ModelError as error:
            raise ModelError(f"{self}: {error}") from error

    def module_preprocess(self, module: nn.Module) -> None:
        """Return ``None``: a built model carries no transform."""

    def build(self, *, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
        """Return the model of images and texts on the CPU, with its weights if ``pretrained``.

        Raises:
            ModelError: If it is no such model, or transformers refuses the options.
            WeightsError: If its files cannot be found, fetched or read.
        """
        import torch

        transformers = require_package(self.package, str(self))
        folder = self._folder()
        self._check_config(read_json(folder / CONFIG))
        module: nn.Module
        with guarded(self, pretrained=pretrained, options=options):
            config, unused = transformers.AutoConfig.from_pretrained(
                str(folder), return_unused_kwargs=True, **LOCAL, **options
            )
            self._check_kind(transformers, config)
            if unused:
                raise TypeError(f"its configuration has no {', '.join(map(repr, unused))}")
            if not pretrained:
                module = transformers.AutoModel.from_config(config, trust_remote_code=False)
                return module
            parts = list(self._parts())
            module, found = transformers.AutoModel.from_pretrained(
                str(folder),
                config=config,
                dtype=torch.float32,
                use_safetensors=all(part.suffix == ".safetensors" for part in parts),
                weights_only=True,
                output_loading_info=True,
                **LOCAL,
            )
        self._check_complete(found)
        return module

    def tokenizer(self) -> Tokenizer:
        """Return its tokenizer.

        Raises:
            WeightsError: If its files can be neither found nor fetched, or not read.
        """
        transformers = require_package(self.package, str(self))
        folder = self._folder()
        if not any(self._has(name) for name in TOKENIZER_FILES):
            raise WeightsError(f"{self} has no tokenizer: expected {TOKENIZER_FILES[0]}")
        for name in TOKENIZER_SETTINGS:
            self._has(name)
        try:
            tokenizer: Tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **LOCAL)
            return tokenizer
        except Exception as error:  # transformers may raise anything for a bad file
            raise WeightsError(
                f"the tokenizer of {self} cannot be read: {_first_line(error)}"
            ) from error

    def _check_config(self, content: Mapping[str, Any]) -> None:
        if not isinstance(content.get("model_type"), str):
            raise ModelError(
                f"{self} is no model of transformers: its {CONFIG} states no model_type"
                + (". For a timm model, write hf-hub:" if "architecture" in content else "")
            )

    def _check_complete(self, found: Mapping[str, Any]) -> None:
        """Refuse weights of which a part is missing: transformers would make it up.

        Raises:
            WeightsError: If there is such a part.
        """
        missing = sorted(map(str, found.get("missing_keys") or ()))
        if missing:
            raise WeightsError(
                f"the file of weights of {self} lacks {count(len(missing), 'tensor')}: "
                f"{listed(missing)}. They would be random, and heat would mean nothing"
            )

    def _check_kind(self, transformers: Any, config: Any) -> None:
        """Refuse models of images alone before their weights are fetched."""
        kind = transformers.MODEL_MAPPING.get(type(config), None)
        if not all(hasattr(kind, name) for name in ENCODERS):
            raise ModelError(
                f"{self} is of the type {config.model_type!r}, which does not embed images and "
                "texts in one space, as CLIP and SigLIP do: load it with transformers, and give "
                "effcam the module"
            )

    def _parts(self) -> Iterator[Path]:
        """Yield the files of its weights, fetched if they are on the hub, and checked."""
        file = self.find_weights()
        names = [file.name]
        if file.name.endswith(INDEX):
            listed = read_json(file).get("weight_map")
            names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
            wrong = [name for name in names if Path(name).name != name]
            if wrong or not names:
                raise WeightsError(f"{str(file)!r} lists no files beside it: {wrong[:1]}")
        for name in names:
            found = self._on_hub((name,)).fetch() if not self._is_folder() else file.parent / name
            check_weights_file(found)
            yield found

    def _folder(self) -> Path:
        """Return the folder with its configuration, fetched if it is on the hub.

        Raises:
            WeightsError: If there is none or it cannot be fetched.
        """
        if not self._is_folder():
            wanted = self._on_hub((CONFIG,))
            return replace(wanted, kind="configuration files", remedy=CONFIG_REMEDY).fetch().parent
        folder = Path(self.name).expanduser()
        if not (folder / CONFIG).is_file():
            missing = f"holds no {CONFIG}" if folder.is_dir() else "does not exist"
            raise WeightsError(
                f"folder {str(folder)!r} {missing}: expected a folder as save_pretrained of "
                "transformers makes it"
            )
        return folder

    def _has(self, name: str) -> bool:
        """Return whether a further file is there; it is fetched if it is on the hub.

        Raises:
            WeightsError: If the hub cannot be reached.
        """
        if self._is_folder():
            return (self._folder() / name).is_file()
        wanted = self._on_hub((name,))
        is_text = name in (*TOKENIZER_FILES, *TOKENIZER_SETTINGS)
        kind = "files of the tokenizer" if is_text else "configuration files"
        remedy = TOKENIZER_REMEDY if is_text else CONFIG_REMEDY
        return replace(wanted, kind=kind, remedy=remedy).fetch_if_there() is not None

    def _is_folder(self) -> bool:
        try:
            path = Path(self.name).expanduser()
            return self.name.startswith((".", "/", "~")) or path.is_absolute() or path.is_dir()
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, no such home
            raise WeightsError(f"folder {self.name!r} cannot be read: {error}") from error

    def _repository(self) -> tuple[str, str]:
        repository, _, revision = self.name.partition("@")
        return repository, revision

    def _on_hub(self, files: tuple[str, ...]) -> PublishedWeights:
        repository, revision = self._repository()
        return PublishedWeights(str(self), repository, files, revision=revision)


def _first_line(error: Exception) -> str:
    return reason_of(error).strip().split("\n")[0].rstrip(".")
