"""Architectures of timm and torchvision: names, weights, labels, construction."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import timm
import torchvision
from timm.data import ImageNetInfo
from timm.models import get_pretrained_cfg
from torch import nn

from effcam.errors import ModelError, UnknownModelError
from effcam.images.preprocess import Preprocess
from effcam.models.imagenet import imagenet_labels, knows_imagenet, synonyms_of
from effcam.models.listing import list_models
from effcam.models.lookup import find_architecture
from effcam.models.registry import DEFAULT_MODELS, ModelSpec, register_model
from effcam.models.timm_architecture import TimmArchitecture, module_preprocess
from effcam.models.torchvision_architecture import TorchvisionArchitecture

TINY = "test_resnet.r160_in1k"


def torchvision_names() -> list[str]:
    return list(torchvision.models.list_models(module=torchvision.models))


def random(name: str, **options: object) -> nn.Module:
    return find_architecture(name).build(pretrained=False, options=options)


# names


def test_a_name_that_both_libraries_have_is_timms_and_torchvisions_has_a_prefix() -> None:
    names = set(list_models())
    shared = set(timm.list_models()) & set(torchvision_names())
    assert "resnet50" in shared
    for name in shared:
        assert {name, f"torchvision:{name}"} <= names
        assert find_architecture(name).library == "timm"
        assert find_architecture(f"timm:{name}").library == "timm"
        assert find_architecture(f"torchvision:{name}").library == "torchvision"
    assert find_architecture("alexnet").library == "torchvision"


def test_a_bare_name_has_its_librarys_default_weights() -> None:
    for name in ("resnet50", "efficientnet_b0", "convnext_tiny", "test_resnet"):
        assert find_architecture(name).weights == get_pretrained_cfg(name).tag
    assert find_architecture("torchvision:resnet50").weights == "IMAGENET1K_V2"
    assert find_architecture("torchvision:vgg16").weights == "IMAGENET1K_V1"


def test_a_tag_picks_the_weights() -> None:
    assert find_architecture("resnet50.tv_in1k") == TimmArchitecture("resnet50", "tv_in1k")
    other = TorchvisionArchitecture("resnet50", "IMAGENET1K_V1")
    assert find_architecture("torchvision:resnet50.IMAGENET1K_V1") == other
    assert find_architecture("alexnet.IMAGENET1K_V1").library == "torchvision"


def test_the_default_models_are_the_notebooks_five_with_the_weights_it_had() -> None:
    files = {}
    for label, name in DEFAULT_MODELS.items():
        architecture = find_architecture(name)
        assert str(architecture) == name
        weights = architecture.published()
        assert weights is not None
        files[label] = weights.origin.rpartition("/")[2]
    assert files == {
        "alexnet": "alexnet-owt-7be5be79.pth",
        "densenet121": "densenet121-a639ec97.pth",
        "resnet152": "resnet152-394f9c45.pth",
        "EB0": "tf_efficientnet_b0.in1k",
        "EB3": "tf_efficientnet_b3.in1k",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", r"no model is called 'resnet5'\. Did you mean 'resnet50'.*list_models\(\)"),
        ("ResNet50", r"Did you mean 'resnet50'"),
        ("timm:alexnet", r"'timm:alexnet'\. Did you mean 'alexnet' or 'demo_alexnet'\?"),
        ("torchvision:efficientnet_b99", r"Did you mean 'efficientnet_b"),
        ("qqqqqqqq", r"^no model is called 'qqqqqqqq'\. effcam\.list_models\(\) lists all\.$"),
        ("", "no model is called ''"),
        (
            "keras:resnet50",
            "'keras:resnet50': names start with 'timm:', 'torchvision:', 'open_clip:', ",
        ),
        (
            "timm:torchvision:resnet50",
            "names start with .*'hf-hub:', 'local-dir:' or none of these",
        ),
        ("vgg16.tv_in1", r"timm has no weights 'tv_in1' for 'vgg16'\. Did you mean 'tv_in1k'\? It"),
        ("alexnet.V1", r"no weights 'V1' for 'alexnet'\. Did you mean 'IMAGENET1K_V1'\? It has"),
        (
            "alexnet.in9",
            r"torchvision has no weights 'in9' for 'alexnet'\. It has IMAGENET1K_V1\.$",
        ),
        ("resnet50.IMAGENET1K_V1", "Did you mean 'torchvision:resnet50.IMAGENET1K_V1'"),
        ("torchvision:resnet50.a1_in1k", "Did you mean 'timm:resnet50.a1_in1k'"),
    ],
)
def test_an_unknown_name_says_what_was_meant_or_what_there_is(name: str, message: str) -> None:
    with pytest.raises(UnknownModelError, match=message):
        find_architecture(name)


def test_an_unknown_tag_of_an_architecture_without_weights() -> None:
    name = list_models(pretrained=False, source="timm")[0]
    with pytest.raises(UnknownModelError, match=f"'x' for '{name}'. None are published for it"):
        find_architecture(f"{name}.x")


def test_a_registered_name_is_offered_too() -> None:
    register_model(ModelSpec("flower_classifier", constructor="resnet18"))
    with pytest.raises(UnknownModelError, match="Did you mean 'flower_classifier'"):
        find_architecture("flower_clasifier")


# labels and transforms


def test_imagenet_has_1000_names_to_show_all_different() -> None:
    labels = imagenet_labels(1000)
    assert labels is not None
    shown = [names[0] for names in labels]
    assert len(shown) == len(set(shown)) == 1000
    assert shown == list(torchvision.models.AlexNet_Weights.DEFAULT.meta["categories"])
    assert (labels[134][0], labels[517][0]) == ("crane bird", "crane")
    assert labels[0] == ("tench", "Tinca tinca", "n01440764")
    assert {"maillot tank suit", "tank suit"} <= set(labels[639])
    assert all(len(set(names)) == len(names) for names in labels)


def test_labels_of_imagenet_have_its_other_names_in_any_librarys_spelling() -> None:
    known = imagenet_labels(1000)
    assert known is not None
    shown = [names[0] for names in known]
    described = ImageNetInfo().label_descriptions()
    folders = ImageNetInfo().label_names()
    underscored = [name.replace(" ", "_") for name in shown]
    for labels in (shown, described, folders, underscored):
        found = synonyms_of(labels)
        assert [names[0] for names in found] == list(labels)
        assert all(set(names) <= set(more) for names, more in zip(known, found, strict=True))
    shuffled = shown[1:] + shown[:1]
    assert synonyms_of(shuffled) == tuple((name,) for name in shuffled)
    assert synonyms_of(["ant", "bee"]) == (("ant",), ("bee",))


@pytest.mark.parametrize("classes", [11821, 21841, 21843])
def test_larger_imagenets_have_a_name_for_each_class(classes: int) -> None:
    labels = imagenet_labels(classes)
    assert labels is not None
    assert len(labels) == classes
    assert all(names and names[0] for names in labels)


@pytest.mark.parametrize("classes", [0, 5, 999])
def test_other_numbers_of_classes_are_not_imagenets(classes: int) -> None:
    assert imagenet_labels(classes) is None


class Own(nn.Module):
    """A module of neither library, with an attribute of timm's."""

    def __init__(self, config: object) -> None:
        super().__init__()
        self.pretrained_cfg = config


def test_the_libraries_own_modules_know_imagenet() -> None:
    assert knows_imagenet(random(TINY))
    assert knows_imagenet(random("squeezenet1_1"))
    assert not knows_imagenet(Own(None))
    assert not knows_imagenet(nn.Linear(2, 1000))


def test_a_timm_module_carries_its_transform() -> None:
    architecture = find_architecture(TINY)
    assert module_preprocess(random(TINY)) == architecture.preprocess()
    assert architecture.preprocess().size == (160, 160)


@pytest.mark.parametrize("module", [nn.Identity(), Own(None), Own("x"), Own({"tag": "x"})])
def test_other_modules_carry_none(module: nn.Module) -> None:
    assert module_preprocess(module) is None


def test_every_architecture_has_a_transform() -> None:
    for name in [*list_models(source="timm"), *list_models(source="torchvision")]:
        preprocess = find_architecture(name).preprocess()
        assert isinstance(preprocess, Preprocess), name
        assert min(preprocess.size) >= 32, name


# building


@pytest.mark.parametrize("name", [TINY, "test_convnext", "squeezenet1_1", "torchvision:resnet18"])
def test_an_architecture_is_built_by_its_library(name: str) -> None:
    architecture = find_architecture(name)
    module = architecture.build(pretrained=False, options={})
    assert type(module).__module__.startswith(f"{architecture.library}.")
    assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}


def test_options_reach_the_constructor() -> None:
    head = random("squeezenet1_1", num_classes=7).get_submodule("classifier.1")
    assert head.out_channels == 7
    tiny: Any = random("test_resnet", num_classes=3, drop_rate=0.25)
    assert (tiny.num_classes, tiny.drop_rate) == (3, 0.25)


@pytest.mark.parametrize("name", [TINY, "squeezenet1_1"])
def test_unknown_options_are_refused_with_the_librarys_reason(name: str) -> None:
    architecture = find_architecture(name)
    with pytest.raises(
        ModelError, match=rf"^{architecture} cannot be built with {{'colour': 1}}: .*'colour'"
    ):
        architecture.build(pretrained=False, options={"colour": 1})


def test_options_that_the_library_asserts_are_refused_all_the_same() -> None:
    with pytest.raises(ModelError, match=r"cannot be built with {'output_stride': 7}: \w+"):
        random(TINY, output_stride=7)


def test_googlenet_and_inception_are_built_without_a_warning() -> None:
    with warnings.catch_warnings(record=True, action="always") as caught:
        for name in ("googlenet", "torchvision:inception_v3"):
            assert random(name).get_submodule("fc").out_features == 1000
    assert [str(each.message) for each in caught] == []


def test_other_warnings_of_a_library_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    really = timm.create_model

    def warn(*args: Any, **options: Any) -> nn.Module:
        warnings.warn("this architecture is about to go", FutureWarning, stacklevel=1)
        module: nn.Module = really(*args, **options)
        return module

    monkeypatch.setattr(timm, "create_model", warn)
    with pytest.warns(FutureWarning, match="about to go"):
        random(TINY)
