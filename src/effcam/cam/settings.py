"""Settings of a comparison or a dataset run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, cast, get_args

from effcam.cam.methods.options import OPTIONS, MethodOptions
from effcam.cam.methods.table import Method, name_of
from effcam.cam.precision import AskedPrecision, check_precision
from effcam.errors import check_choice, check_number
from effcam.models.tracing.placement import HowPlaced
from effcam.targets.plain import by_name
from effcam.targets.stored import from_json, to_json

if TYPE_CHECKING:
    from effcam.targets.plain import PlainTarget


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Settings(Mapping[str, object]):
    """What the numbers of a comparison or a dataset run depend on, apart from images and models.

    It is a mapping too, with the values that JSON has: lists for tuples.

    Attributes:
        method: The methods' names.
        target: The target, or one for each image, or several by name; ``None`` for each model's
            own top-1, and in a dataset run whose image list has one target for each image. As an
            item of the mapping, in the types of JSON.
        view: As in `effcam.compare`.
        size: As in `effcam.compare`.
        precision: As in `effcam.compare`.
        decoding: As in `effcam.compare`.
        placement: As in `effcam.compare`.
        options: The methods' options, which are items of the mapping by their own names.
        shard_size: How many images a shard of a dataset run holds; 0 in memory.
    """

    method: tuple[str, ...] = ("gradcam",)
    target: PlainTarget = None
    view: str = "model"
    size: int | None = None
    precision: AskedPrecision = "fp32"
    decoding: str = "exact"
    placement: HowPlaced = "pitch"
    options: MethodOptions = field(default_factory=MethodOptions)
    shard_size: int = 0

    @classmethod
    def of(cls, items: Mapping[str, Any]) -> Settings:
        """Return settings from the items of their mapping, those of an earlier release too.

        Raises:
            TypeError: If there is no such setting.
        """
        options = {name: value for name, value in items.items() if name in OPTIONS}
        others = {name: value for name, value in items.items() if name not in OPTIONS}
        others["method"] = tuple(others["method"])
        others["target"] = from_json(others["target"])
        return cls(options=MethodOptions(**options), **others)

    def __getitem__(self, name: str) -> object:
        if name not in tuple(self):
            raise KeyError(name)
        if name in OPTIONS:
            return getattr(self.options, name)
        value = to_json(self.target) if name == "target" else getattr(self, name)
        return list(value) if isinstance(value, tuple) else value

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the settings, without ``shard_size`` in memory."""
        own = [each.name for each in fields(self) if each.name not in ("options", "shard_size")]
        return iter((*own, *OPTIONS, *(["shard_size"] if self.shard_size else [])))

    def stored(self) -> dict[str, object]:
        """Return the items without options of their usual values, which earlier runs lack too."""
        usual = MethodOptions()
        return {
            name: value
            for name, value in self.items()
            if name not in OPTIONS or value != getattr(usual, name)
        }

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of several targets; ("",) for one."""
        return tuple(by_name(self.target))

    @property
    def columns_each(self) -> int:
        """The number of columns of each model."""
        return len(self.asked) * len(self.method)

    def columns_of(self, label: str) -> tuple[str, ...]:
        """Return the labels of a model's columns, one for each method, target by target.

        >>> Settings().columns_of("resnet50")
        ('resnet50',)
        >>> Settings(method=("gradcam", "layercam")).columns_of("resnet50")
        ('resnet50 gradcam', 'resnet50 layercam')
        >>> Settings(target={"cat": "tabby", "dog": "pug"}).columns_of("resnet50")
        ('resnet50 cat', 'resnet50 dog')
        """
        return tuple(column for asked in self.asked for column in self.columns_for(label, asked))

    def columns_for(self, label: str, asked: str) -> tuple[str, ...]:
        """Return the labels of a model's columns for one target, one for each method.

        Args:
            label: The model's label.
            asked: The name of the target among several; "" for one alone.
        """
        first = f"{label} {asked}" if asked else label
        if len(self.method) == 1:
            return (first,)
        return tuple(f"{first} {method}" for method in self.method)


def make_settings(
    *,
    methods: Sequence[Method],
    target: PlainTarget = None,
    view: str = "model",
    size: int | None = None,
    precision: str = "fp32",
    decoding: str = "exact",
    placement: str = "pitch",
    options: MethodOptions | None = None,
    shard_size: int | None = None,
) -> Settings:
    """Return settings, after checking what a caller gave.

    Args:
        methods: The methods, checked.
        target: The target, checked.
        view: As in `effcam.compare`.
        size: As in `effcam.compare`.
        precision: As in `effcam.compare`.
        decoding: As in `effcam.compare`.
        placement: As in `effcam.compare`.
        options: The methods' options, checked; ``None`` for the usual ones.
        shard_size: As in `effcam.compare_dataset`; ``None`` in memory.

    Raises:
        ArgumentError: If a value is impossible.
    """
    return Settings(
        method=tuple(name_of(each) for each in methods),
        target=target,
        view=check_choice("view", view, ("model", "whole")),
        size=None if size is None else check_number("size", size),
        precision=check_precision(precision),
        decoding=check_choice("decoding", decoding, ("exact", "reduced")),
        placement=cast("HowPlaced", check_choice("placement", placement, get_args(HowPlaced))),
        options=options or MethodOptions(),
        shard_size=0 if shard_size is None else check_number("shard_size", shard_size),
    )
