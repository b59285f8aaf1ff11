"""What a visitor asks for is checked, value by value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from effcam.app.choices import check_model, demo_names, demo_note, method_choices, model_names
from effcam.app.incoming import Asked, read
from effcam.app.limits import PUBLIC, Limits
from effcam.app.store import VARIABLE, Store
from effcam.errors import ArgumentError, EffcamError, TargetError, UnknownModelError

USUAL: dict[str, object] = {
    "images": "scenes",
    "scenes": 3,
    "photos": None,
    "models": ["demo_resnet"],
    "checkpoints": None,
    "architecture": None,
    "method": "gradcam",
    "question": "top",
    "class_name": "",
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    opened = Store(minutes=1)
    yield opened
    opened.close()


def put(store: Store, name: str, size: int = 10) -> dict[str, Any]:
    path = store.folder / name.replace(".", "-") / name
    path.parent.mkdir()
    path.write_bytes(bytes(size))
    return {"path": str(path), "orig_name": name}


def first_found(text: str, limits: Limits) -> str:
    """What Enter takes in Gradio's field: the first name that contains what is typed."""
    return next(name for name in model_names(limits) if text in name)


@pytest.mark.parametrize("limits", [Limits(), PUBLIC], ids=["all", "public"])
def test_a_name_in_full_is_found_first(limits: Limits) -> None:
    names = model_names(limits)
    assert [name for name in names if first_found(name, limits) != name] == []
    assert {"demo_efficientnet_b0", "efficientnet_b0", "resnet50"} <= set(names)
    assert first_found("resnet5", limits) == "resnet50"


def test_demo_models_among_others_are_no_models_for_photos() -> None:
    demos = ["demo_resnet", "demo_alexnet"]
    assert demo_note(["resnet50"]) == ""
    assert demo_note(demos).endswith("means nothing. Search for models such as resnet50.")
    mixed = demo_note(["resnet50", *demos])
    assert mixed.startswith("Demo models (demo_resnet, demo_alexnet) only know drawn objects")
    assert mixed.endswith("means nothing.")


def test_what_is_asked(store: Store) -> None:
    assert read(USUAL, Limits(), store, "one") == Asked(scenes=3, models=("demo_resnet",))
    own = {
        **USUAL,
        "images": "photos",
        "photos": [put(store, "a.jpg"), put(store, "b.PNG")],
        "models": ["resnet50", "resnet50"],
        "checkpoints": [put(store, "mine.pth")],
        "architecture": "resnet18",
        "question": "named",
        "class_name": " tabby ",
    }
    asked = read(own, Limits(), store, "one")
    assert [each.name for each in asked.photos] == ["a.jpg", "b.PNG"]
    assert [each.name for each in asked.checkpoints] == ["mine.pth"]
    assert (asked.scenes, asked.models, asked.architecture) == (0, ("resnet50",), "resnet18")
    assert asked.target == "tabby"
    assert read({**USUAL, "question": "second"}, Limits(), store, "one").target == "top2"


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"images": "folder"}, ArgumentError, "no images 'folder'"),
        ({"images": "photos"}, ArgumentError, "there are no photos yet"),
        ({"scenes": 25}, ArgumentError, "from 1 to 24"),
        ({"scenes": True}, ArgumentError, "from 1 to 24"),
        ({"scenes": math.nan}, ArgumentError, "from 1 to 24"),
        ({"models": []}, ArgumentError, "there are no models yet"),
        ({"models": None}, ArgumentError, "there are no models yet"),
        ({"models": ["resnet5"]}, UnknownModelError, "'resnet5'. Did you mean 'resnet50'"),
        ({"models": ["hf-hub:a/b"]}, UnknownModelError, "no model of this page"),
        ({"models": ["open_clip:ViT-B-32"]}, UnknownModelError, "no model of this page"),
        ({"models": [["resnet50"]]}, UnknownModelError, "no model of this page"),
        ({"method": "gradcamm"}, ArgumentError, "no method 'gradcamm'. Did you mean 'gradcam"),
        ({"question": None}, ArgumentError, "no target 'None'"),
        ({"question": "named"}, TargetError, "write the name of a class"),
        ({"question": "named", "class_name": "x" * 201}, TargetError, "write the name of a class"),
    ],
)
def test_what_is_refused(
    store: Store, changes: dict[str, object], kind: type[EffcamError], said: str
) -> None:
    with pytest.raises(kind) as refused:
        read({**USUAL, **changes}, Limits(), store, "one")
    assert said in str(refused.value)


def test_files_are_limited(store: Store) -> None:
    limits = Limits(photos=2, models=1, photo_megabytes=0.001, checkpoint_megabytes=0.001)

    def refusal(**changes: object) -> str:
        with pytest.raises(EffcamError) as refused:
            read({**USUAL, "images": "photos", **changes}, limits, store, "one")
        return str(refused.value)

    fine = put(store, "a.jpg")
    assert "3 photos are too many: at most 2" in refusal(
        photos=[fine, put(store, "b.jpg"), put(store, "c.jpg")]
    )
    assert "large.jpg has 1.2 MB" in refusal(photos=[put(store, "large.jpg", 1_200_000)])
    assert "none.jpg is empty" in refusal(photos=[put(store, "none.jpg", 0)])
    assert "a.txt is not an image" in refusal(photos=[put(store, "a.txt")])
    assert "2 models are too many" in refusal(photos=[fine], models=["resnet18", "resnet50"])
    weights = put(store, "w.pt")
    assert "2 models are too many" in refusal(photos=[fine], checkpoints=[weights])
    assert "choose the architecture" in refusal(photos=[fine], models=[], checkpoints=[weights])
    assert "a.jpg is no checkpoint" in refusal(photos=[fine], checkpoints=[fine])
    public = {**USUAL, "checkpoints": [weights]}
    with pytest.raises(ArgumentError, match="takes no checkpoints"):
        read(public, PUBLIC, store, "one")


def test_a_public_page_has_a_short_list() -> None:
    assert demo_names(PUBLIC) == demo_names(Limits())
    assert len(model_names(PUBLIC)) < 20
    assert len(model_names(Limits())) > 1000
    with pytest.raises(UnknownModelError, match="It has a short list"):
        check_model("resnet152", PUBLIC)
    methods = [name for _, name in method_choices(PUBLIC)]
    assert "gradcam" in methods
    assert "rise" not in methods
    assert ("rise (about 1030 x a forward pass)", "rise") in method_choices(Limits())


@pytest.mark.parametrize(
    "changes",
    [{"photos": 0}, {"models": -1}, {"minutes": 0}, {"allowed": ()}, {"seconds": math.nan}],
)
def test_limits_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(changes))):
        Limits(**changes)
