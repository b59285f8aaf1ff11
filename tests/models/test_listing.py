"""The list of models, and what is known of each without building it."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torchvision
from torchvision.models import get_model_weights

from effcam import load_model
from effcam.demo import MODELS
from effcam.demo.models import SMALL_KINDS, TWO_TOWER
from effcam.errors import ArgumentError, UnknownModelError
from effcam.models import listing
from effcam.models.architectures import known_architectures
from effcam.models.listing import HEADER, Listed, describe, describe_all, list_models, records
from effcam.models.lookup import KINDS, find_architecture
from effcam.models.registry import ModelSpec, register_model

DEMO = {*MODELS.values(), "demo_multilabel", TWO_TOWER, *(f"demo_{kind}" for kind in SMALL_KINDS)}
V1, V2 = "torchvision:resnet50.IMAGENET1K_V1", "torchvision:resnet50.IMAGENET1K_V2"


def torchvision_names() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models))


# names


def test_every_listed_name_is_found_and_every_architecture_is_listed() -> None:
    found = {name: find_architecture(name) for name in list_models() if name not in DEMO}
    assert {(each.library, each.name) for each in found.values()} == {
        *(("timm", name) for name in timm.list_models()),
        *(("torchvision", name) for name in torchvision_names()),
    }
    assert len(found) == len(timm.list_models()) + len(torchvision_names())
    for name, architecture in found.items():
        assert name in (architecture.name, architecture.bare)
        assert find_architecture(str(architecture)) == architecture
        assert find_architecture(architecture.bare) == architecture


def test_every_listed_set_of_weights_is_found_and_every_set_is_listed() -> None:
    names = [name for name in list_models(pretrained=True) if name not in DEMO]
    found = {name: find_architecture(name) for name in names}
    assert sorted(map(str, found.values())) == sorted(
        [
            *(f"timm:{name}" for name in timm.list_pretrained()),
            *(
                f"torchvision:{name}.{entry.name}"
                for name in torchvision_names()
                for entry in {entry.name: entry for entry in get_model_weights(name)}.values()
            ),
        ]
    )
    for name, architecture in found.items():
        assert name in (str(architecture), str(architecture).partition(":")[2])
        assert architecture.published() is not None


def test_architectures_without_weights_are_listed_as_such() -> None:
    without = list_models(pretrained=False)
    assert without
    for name in without:
        architecture = find_architecture(name)
        assert architecture.weights == ""
        assert str(architecture) == architecture.bare
        assert architecture.published() is None
        assert not timm.list_pretrained(f"{architecture.name}.*")


def test_lists_are_in_natural_order() -> None:
    names = list_models("resnet*", source="timm")
    assert names.index("resnet18") < names.index("resnet50") < names.index("resnet101")
    assert list_models("vgg1?", source="torchvision") == (
        "torchvision:vgg11",
        "torchvision:vgg13",
        "torchvision:vgg16",
        "torchvision:vgg19",
    )


def test_a_pattern_matches_with_or_without_the_prefix() -> None:
    both = ("torchvision:vgg16", "vgg16")
    assert set(list_models("vgg16")) == set(both)
    assert list_models("torchvision:vgg16") == both[:1]
    assert list_models("no-such-*") == ()
    assert "vgg16.tv_in1k" in list_models("vgg16.*", pretrained=True)
    assert "torchvision:vgg16.IMAGENET1K_V1" in list_models("vgg16.*", pretrained=True)


def test_a_source_lists_its_own_alone() -> None:
    register_model(ModelSpec("mine", constructor="resnet18"))
    assert set(list_models(source="timm")) == set(timm.list_models())
    assert {name.rpartition(":")[2] for name in list_models(source="torchvision")} == set(
        torchvision_names()
    )
    assert set(list_models(source="registered")) == {"mine", *DEMO}
    assert "mine" in list_models("mi*")
    with pytest.raises(ArgumentError, match="'registered' or None, not 'keras'"):
        list_models(source="keras")


def test_registered_models_count_by_what_their_spec_says() -> None:
    for spec in (
        ModelSpec("own_pretrained", constructor="resnet18"),
        ModelSpec("own_file", constructor="resnet18", pretrained=False, checkpoint="best.pt"),
        ModelSpec("own_random", constructor="resnet18", pretrained=False),
    ):
        register_model(spec)
    assert list_models("own_*", pretrained=True) == ("own_file", "own_pretrained")
    assert list_models("own_*", pretrained=False) == ("own_random",)
    assert len(list_models("own_*")) == 3


def test_a_registered_name_moves_the_librarys_behind_a_prefix() -> None:
    register_model(ModelSpec("resnet50", constructor="timm:resnet18"))
    assert set(list_models("resnet50")) == {"resnet50", "timm:resnet50", "torchvision:resnet50"}
    assert list_models("resnet50", source="timm") == ("timm:resnet50",)
    assert find_architecture(list_models("resnet50", source="timm")[0]).name == "resnet50"


def test_any_source_but_the_known_ones_is_refused() -> None:
    for source in ("keras", "hf-hub", ""):
        with pytest.raises(
            ArgumentError,
            match=f"^source must be 'timm', 'torchvision', 'open_clip', 'registered' or None, not "
            f"'{source}'$",
        ):
            list_models(source=source)


# descriptions


def test_a_model_is_described_by_what_its_library_says_of_it() -> None:
    assert describe("torchvision:resnet50") == Listed(
        name="torchvision:resnet50",
        source="torchvision",
        family="resnet",
        parameters=25_557_032,
        size=(224, 224),
        top1=80.858,
        target_layer="layer4",
        layout="NCHW",
    )
    timms = describe("vit_base_patch16_224")
    assert (timms.source, timms.family, timms.layout) == ("timm", "vision_transformer", "tokens")
    assert (timms.size, timms.top1) == ((224, 224), None)
    assert timms.target_layer == "blocks.11.norm1"
    crossvit = describe("timm:crossvit_tiny_240")
    assert crossvit.target_layer == "blocks.2.blocks.0 + blocks.2.blocks.1"


def test_the_accuracy_is_that_of_the_very_weights_that_a_name_carries() -> None:
    assert (describe(V1).top1, describe(V2).top1) == (76.13, 80.858)
    assert describe("torchvision:resnet50").top1 == 80.858
    assert (describe("alexnet").top1, describe("alexnet.IMAGENET1K_V1").top1) == (56.522, 56.522)
    assert describe("torchvision:vgg16.IMAGENET1K_V1").top1 == 71.592
    # It has no classifier, and torchvision states NaN as its accuracy.
    assert describe("torchvision:vgg16.IMAGENET1K_FEATURES").top1 is None
    assert describe("resnet50.a1_in1k").top1 is None


def test_of_other_weights_than_the_default_it_says_no_size_that_may_be_anothers() -> None:
    default, other = (
        describe(f"torchvision:vit_b_16.{name}")
        for name in ("IMAGENET1K_V1", "IMAGENET1K_SWAG_E2E_V1")
    )
    assert (default.size, default.parameters) == ((224, 224), 86_567_656)
    assert find_architecture(other.name).preprocess().size == (384, 384)
    assert (other.size, other.parameters) == (None, None)
    assert (other.family, other.target_layer) == (default.family, default.target_layer)
    assert other.top1 == 85.304


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "squeezenet1_1"])
def test_what_is_described_is_what_is_built(name: str) -> None:
    described = describe(name)
    model = load_model(name, pretrained=False)
    assert described.parameters == sum(each.numel() for each in model.module.parameters())
    assert described.size == model.preprocess.size
    assert described.target_layer == model.target_layer
    assert described.layout == model.layer.layout
    assert type(model.module).__module__.endswith(f".{described.family}")


def test_a_registered_model_is_described_by_its_spec() -> None:
    register_model(ModelSpec("resnet50", constructor="timm:resnet18"))
    register_model(ModelSpec("own_layer", constructor="resnet18", target_layer="layer3"))
    register_model(ModelSpec("own_layers", target_layer=["a", "b.c"]))
    assert describe("resnet50") == Listed("resnet50", "registered")
    assert describe("timm:resnet50").parameters == 25_557_032
    assert describe("own_layer") == Listed("own_layer", "registered", target_layer="layer3")
    assert describe("own_layers").target_layer == "a + b.c"


def test_of_an_architecture_that_the_table_does_not_know_only_the_library_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {
        pair: facts for pair, facts in known_architectures().items() if pair != ("timm", "resnet50")
    }
    monkeypatch.setattr(listing, "known_architectures", lambda: known)
    assert describe("resnet50") == Listed("resnet50", "timm")
    assert describe("resnet50.a1_in1k") == Listed("resnet50.a1_in1k", "timm")
    assert describe("torchvision:resnet50").top1 == 80.858


def test_a_stored_model_is_described_by_where_it_is() -> None:
    for name, source in (("local-dir:flowers", "local-dir"), ("hf_hub:me/flowers", "hf-hub")):
        assert describe(name) == Listed(name, source)


def test_an_unknown_name_is_not_described() -> None:
    with pytest.raises(UnknownModelError, match="Did you mean 'resnet50'"):
        describe("resnet5")


def test_descriptions_are_rows_of_text_under_a_header() -> None:
    register_model(ModelSpec("mine"))
    rows = describe_all([V1, V2, "timm:resnet50", "mine"])
    assert rows[0] == HEADER
    assert rows[1:] == [
        (V1, "torchvision", "resnet", "-", "-", "76.13", "layer4", "NCHW"),
        (V2, "torchvision", "resnet", "25.6 M", "224", "80.86", "layer4", "NCHW"),
        ("timm:resnet50", "timm", "resnet", "25.6 M", "224", "-", "layer4", "NCHW"),
        ("mine", "registered", "-", "-", "-", "-", "-", "-"),
    ]
    assert describe_all([]) == [HEADER]


def test_an_input_that_is_no_square_shows_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: Any = Listed("mine", "timm", size=(256, 128))
    monkeypatch.setattr(listing, "describe", lambda _: shown)
    assert describe_all(["mine"])[1][4] == "256x128"


def test_everything_that_is_listed_can_be_described() -> None:
    names = [*list_models(), *list_models(pretrained=True)]
    described = [describe(name) for name in names]
    assert [each.name for each in described] == names
    assert len(describe_all(names)) == len(names) + 1


def test_weights_without_a_classifier_are_those_that_timm_has_without_classes() -> None:
    found = {
        f"{name}.{weights}"
        for name in timm.list_models()
        for weights in KINDS["timm"].library_weights(name)
        if KINDS["timm"](name, weights).num_classes() == 0
    }
    listed = list_models(source="timm", pretrained=True)
    shown = {each.name for each in map(describe, listed) if not each.has_classifier}
    assert {name.rpartition(":")[2] for name in shown} == found
    assert len(found) > 200
    defaults = [name for name in list_models() if not describe(name).has_classifier]
    assert len(defaults) > 100


def test_the_table_shows_weights_without_a_classifier() -> None:
    (_, row) = describe_all(["vit_base_patch16_224.dino"])
    assert row[-3:] == ("no classifier", "blocks.11.norm1", "tokens")
    (record,) = records(["vit_base_patch16_224.dino"])
    assert (record["has_classifier"], record["target_layer"]) == (False, "blocks.11.norm1")
    (record,) = records(["resnet18"])
    assert record["has_classifier"] is True
