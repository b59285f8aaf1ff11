"""From a name, a spec or a module to a model that is ready to run."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from effcam import Model, ModelSpec, Preprocess, compare, load_model
from effcam.errors import (
    ArgumentError,
    LayerError,
    ModelError,
    TargetError,
    UnknownModelError,
    WeightsError,
)
from effcam.models import downloads, registry
from effcam.models.loading import load, load_untrained
from effcam.models.lookup import KINDS
from effcam.models.sources import check_weights, resolve
from effcam.models.timm_architecture import TimmArchitecture

if TYPE_CHECKING:
    from pathlib import Path
from effcam.targets import Similar


class Small(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 4, stride=4)
        self.fc = nn.Linear(6, classes)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.features(images).mean((2, 3)))
        return scores


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    monkeypatch.setattr(registry, "_registered", {})
    spec = ModelSpec(
        "mine",
        Small,
        preprocess=Preprocess(size=32),
        labels=["a", "b", "c"],
        options={"classes": 3},
    )
    return registry.register_model(spec)


def test_a_name_is_looked_up_in_the_registry_then_timm_then_torchvision(
    registered: ModelSpec,
) -> None:
    assert load_model("mine").name == "mine"
    assert load_model("resnet18", pretrained=False).name == "timm:resnet18"
    assert load_model("alexnet", pretrained=False).name == "torchvision:alexnet"
    assert load_model("torchvision:resnet18", pretrained=False).name == "torchvision:resnet18"
    with pytest.raises(UnknownModelError, match="Did you mean 'mine'"):
        load_model("mines")
    assert registered.name == "mine"


def test_a_registered_spec_may_shadow_a_library_name_and_build_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    spec = ModelSpec("alexnet", "timm:test_resnet", pretrained=False, options={"num_classes": 7})
    registry.register_model(spec)
    model = load_model("alexnet")
    assert (model.name, model.num_classes) == ("alexnet", 7)
    assert type(model.module).__name__ == "ResNet"


def test_ones_own_spec_states_everything(registered: ModelSpec) -> None:
    model = load_model(registered)
    assert model.labels == ("a", "b", "c")
    assert model.preprocess.size == (32, 32)
    assert (model.target_layer, model.layer.grid, model.weights) == ("features", (8, 8), "as given")
    assert not model.module.training
    assert not any(each.requires_grad for each in model.module.parameters())


def test_arguments_go_over_the_spec(registered: ModelSpec) -> None:
    model = load_model(
        registered, name="other", labels=["x", "y"], options={"classes": 2}, target_layer="features"
    )
    assert (model.name, model.labels) == ("other", ("x", "y"))
    assert model.layer.reason == "chosen by the caller"
    assert load_model("mine").num_classes == 3


def test_untrained_weights_are_the_same_each_time_and_leave_the_random_state() -> None:
    state = torch.get_rng_state()
    first = load_model("timm:test_resnet", pretrained=False)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    second = load_model("timm:test_resnet", pretrained=False)
    for name, tensor in first.module.state_dict().items():
        assert torch.equal(tensor, second.module.state_dict()[name])
    assert first.weights == "random"


def test_a_module_is_used_as_it_is() -> None:
    module = Small().train()
    before = copy.deepcopy(module.state_dict())
    model = load_model(module, preprocess=Preprocess(size=48))
    assert model.module is module
    assert module.training
    assert all(each.requires_grad for each in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert (model.name, model.weights, model.layer.grid) == ("Small", "as given", (12, 12))
    assert model.labels == ("class 0", "class 1", "class 2", "class 3")


def test_a_model_can_be_changed_into_another() -> None:
    first = load_model(Small(), labels=["a", "b", "c", "d"], name="first")
    second = load_model(first, preprocess=Preprocess(size=64), name="second")
    assert second.labels == first.labels
    assert (second.name, second.layer.grid) == ("second", (16, 16))
    assert load_model(second, target_layer="features").layer.grid == (16, 16)
    assert (first.name, first.layer.grid) == ("first", (56, 56))


def test_a_library_module_brings_its_labels_and_its_transform() -> None:
    import timm
    from torchvision.models import squeezenet1_1

    model = load_model(timm.create_model("test_resnet"))
    assert model.preprocess.size == (160, 160)
    assert model.labels[145] == "king penguin"
    assert load_model(squeezenet1_1()).labels[145] == "king penguin"
    assert load_model(timm.create_model("test_resnet", num_classes=3)).labels[2] == "class 2"


def test_1000_classes_of_an_unknown_module_are_not_taken_for_imagenet() -> None:
    assert load_model(Small(1000)).labels[145] == "class 145"


def test_published_preprocess_goes_with_the_weights_that_are_asked_for() -> None:
    shapes = {"pretrained": False, "device": "meta"}
    first = load_model("torchvision:resnet50.IMAGENET1K_V1", **shapes)
    second = load_model("torchvision:resnet50.IMAGENET1K_V2", **shapes)
    assert (first.preprocess.resize, second.preprocess.resize) == ((256, 256), (232, 232))


def test_a_checkpoint_decides_the_number_of_classes(tmp_path: Path) -> None:
    donor = load_model("timm:test_resnet", pretrained=False, options={"num_classes": 9})
    with torch.no_grad():
        for parameter in donor.module.parameters():
            parameter.normal_()
    file = tmp_path / "best.safetensors"
    save_file({name: each.contiguous() for name, each in donor.module.state_dict().items()}, file)
    model = load_model("test_resnet", checkpoint=file)
    assert (model.num_classes, model.weights) == (9, "best.safetensors")
    for name, tensor in donor.module.state_dict().items():
        assert torch.equal(model.module.state_dict()[name], tensor)
    given = load_model("test_resnet", checkpoint=file, options={"num_classes": 9})
    assert given.num_classes == 9
    with pytest.raises(WeightsError, match=r"does not fit timm:test_resnet.*1000, 96"):
        load_model("test_resnet", checkpoint=file, options={"num_classes": 1000})


def test_a_checkpoint_for_ones_own_constructor(tmp_path: Path) -> None:
    donor, file = Small(), tmp_path / "mine.pt"
    torch.save({"state_dict": donor.state_dict()}, file)
    model = load_model(ModelSpec("mine", Small, checkpoint=file))
    assert torch.equal(model.module.state_dict()["fc.weight"], donor.fc.weight)
    assert model.weights == "mine.pt"


@pytest.mark.parametrize(
    "given", [{"checkpoint": "x.pt"}, {"options": {"a": 1}}, {"pretrained": False}]
)
def test_arguments_for_names_are_refused_for_modules(given: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="are for models that are built by name"):
        load_model(Small(), **given)  # type: ignore[arg-type]  # refused whatever it is


def test_bad_sources_and_arguments_are_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"a model is a name, a ModelSpec, an nn.Module or a Model"
    ):
        load_model(5)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(
        ArgumentError, match=r"preprocess must be an effcam.Preprocess, not function"
    ):
        load_model(Small(), preprocess=lambda image: image)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="Small has 4 classes, but labels holds 2 labels"):
        load_model(Small(), labels=["a", "b"])
    with pytest.raises(ArgumentError, match="but labels holds one string"):
        load_model(Small(), labels="abcd")
    with pytest.raises(ArgumentError, match="device 'gpu' cannot be used"):
        load_model("test_resnet", pretrained=False, device="gpu")
    with pytest.raises(ArgumentError, match="Small is on cpu, not on meta: effcam leaves"):
        load_model(Small(), device="meta")
    with pytest.raises(ModelError, match=r"constructor of 'x' returned a dict, not an nn.Module"):
        load_model(ModelSpec("x", dict))
    with pytest.raises(LayerError, match="Small: the model uses no layer called 'feature'"):
        load_model(Small(), target_layer="feature")
    with pytest.raises(ModelError, match="Linear: the model does not run on a batch of 224 x 224"):
        load_model(nn.Linear(3, 4))


def test_a_module_made_in_inference_mode_is_refused_and_ours_are_not_made_so() -> None:
    with torch.inference_mode():
        module = Small()
        model = load_model("test_resnet", pretrained=False)
    assert not any(each.is_inference() for each in model.module.parameters())
    with pytest.raises(ModelError, match=r"made under torch.inference_mode"):
        load_model(module)


@pytest.fixture(scope="module")
def imagenet() -> Model:
    return load_model("timm:test_resnet", pretrained=False)


@pytest.mark.parametrize(
    ("target", "index"),
    [
        (0, 0),
        (999, 999),
        ("king penguin", 145),
        ("King Penguin", 145),
        (" Aptenodytes patagonica ", 145),
        ("ice bear", 296),
        ("polar bear", 296),
        ("crane bird", 134),
        ("n02123045", 281),
        ("Cardigan", 264),
        ("cardigan", 474),
        ("281", 281),
        ("maillot tank suit", 639),
    ],
)
def test_classes_are_found_by_index_and_by_every_synonym(
    imagenet: Model, target: int | str, index: int
) -> None:
    assert imagenet.find_class(target) == index


def test_classes_that_cannot_be_found_say_what_could_be_meant(imagenet: Model) -> None:
    with pytest.raises(
        TargetError, match=r"class 1000 is out of range: .* the 1000 classes 0 to 999"
    ):
        imagenet.find_class(1000)
    with pytest.raises(TargetError, match="class -1 is out of range"):
        imagenet.find_class(-1)
    with pytest.raises(
        TargetError, match=r"no class called 'king pengin'. Did you mean 'king pengu"
    ):
        imagenet.find_class("king pengin")
    twice = load_model(Small(), labels=["crane", "dog", "crane", "cat"])
    with pytest.raises(
        TargetError, match=r"stands for 2 classes of Small: 0 \(crane\), 2 \(crane\)"
    ):
        twice.find_class("Crane")


def test_weights_are_looked_for_before_anything_is_built(registered: ModelSpec) -> None:
    check_weights(
        ["mine", registered, Small(), load_model(Small()), ModelSpec("alexnet", pretrained=False)]
    )
    with pytest.raises(WeightsError, match=r"torchvision:alexnet.IMAGENET1K_V1.*timm:resnet18"):
        check_weights(["alexnet", "resnet18"])
    with pytest.raises(UnknownModelError, match="no model is called 'resnet5'"):
        check_weights(["resnet5"])


def test_a_spec_with_the_name_of_a_registered_one_is_distinguished() -> None:
    with pytest.raises(UnknownModelError, match=r"^'demo_resnet' is a registered model, and no"):
        load_model(ModelSpec("demo_resnet"))
    assert load_model("demo_resnet").name == "demo_resnet"


@pytest.mark.gpu
def test_models_go_to_the_device_that_is_asked_for() -> None:
    assert load_model("test_resnet", pretrained=False).device.type == "cuda"
    assert load_model("test_resnet", pretrained=False, device="cpu").device.type == "cpu"


class FixedInput(Small):
    """Takes images of one size only, as networks without global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6 * 8 * 8, 4)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.features(images).flatten(1))
        return scores


def test_the_target_layer_is_looked_for_at_the_size_that_is_seen() -> None:
    def at_32(own: Preprocess) -> Preprocess:
        return own.with_size(32)

    for source in (FixedInput(), ModelSpec("mine", FixedInput)):
        assert load(resolve(source), device=None, change_preprocess=at_32).layer.grid == (8, 8)
        with pytest.raises(ModelError, match="does not run on a batch of 224 x 224"):
            load_model(source)


def test_a_model_keeps_the_reason_for_its_layer() -> None:
    first = load_model(Small())
    assert load_model(first, preprocess=Preprocess(size=64)).layer.reason == first.layer.reason


def test_a_constructor_that_fails_is_a_model_error() -> None:
    def broken(**_: object) -> nn.Module:
        raise RuntimeError("no such width")

    with pytest.raises(ModelError, match=r"constructor of 'x' failed with \{'a': 1\}: .*no such"):
        load_model(ModelSpec("x", broken, options={"a": 1}))


class BufferOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.rand(4, 3))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) @ self.weight.T


def test_modules_that_cannot_be_traced_are_refused_with_their_kind() -> None:
    with pytest.raises(LayerError, match="no layer of the model gives a map"):
        load_model(BufferOnly())
    with pytest.raises(ModelError, match="Flatten has no parameters"):
        load_model(nn.Flatten())
    with pytest.raises(ModelError, match="Sequential has lazy layers: run it once"):
        load_model(nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten()))
    with torch.inference_mode():
        buffered = nn.BatchNorm2d(3)
    with pytest.raises(ModelError, match=r"made under torch\.inference_mode"):
        load_model(buffered)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="is a TorchScript module, whose layers cannot be traced"):
        load_model(torch.jit.trace(Small(), torch.rand(1, 3, 32, 32)))


def test_classes_without_names_say_so() -> None:
    with pytest.raises(TargetError, match=r"no class called 'rose'. Its classes have no names"):
        load_model(Small()).find_class("rose")


def test_a_checkpoint_that_is_missing_is_found_out_first(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nope\.pt' does not exist"):
        check_weights([ModelSpec("resnet18", checkpoint=tmp_path / "nope.pt")])


@pytest.mark.slow
def test_files_with_densenets_old_keys_fit(tmp_path: Path) -> None:
    donor = load_model("torchvision:densenet121", pretrained=False).module
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
    old = {pattern.sub(r"\1.\2.", name): value for name, value in donor.state_dict().items()}
    assert old.keys() != donor.state_dict().keys()
    file = tmp_path / "old.pth"
    torch.save(old, file)
    model = load_model("torchvision:densenet121", checkpoint=file)
    name = "features.denseblock1.denselayer1.conv2.weight"
    assert torch.equal(model.module.state_dict()[name], donor.state_dict()[name])


@pytest.mark.slow
def test_a_checkpoint_for_googlenet_sees_what_published_weights_see(tmp_path: Path) -> None:
    donor = load_model("torchvision:googlenet", pretrained=False)
    file = tmp_path / "googlenet.pt"
    torch.save(donor.module.state_dict(), file)
    assert load_model("torchvision:googlenet", checkpoint=file).module.transform_input
    options = {"transform_input": False}
    kept = load_model("torchvision:googlenet", checkpoint=file, options=options)
    assert not kept.module.transform_input


def test_what_sees_as_published_weights_do_is_torchvisions_own(tmp_path: Path) -> None:
    class Own(Small):
        transform_input = False

    file = tmp_path / "own.pt"
    torch.save(Own().state_dict(), file)
    model = load_model(ModelSpec("mine", Own, checkpoint=file))
    assert model.module.transform_input is False


# input sizes

VIT = ModelSpec("vit", "timm:vit_tiny_patch16_224", pretrained=False, options={"depth": 1})
"""A transformer that is built for one input size, of one block."""


@pytest.mark.parametrize(("size", "grid"), [(96, (6, 6)), ((96, 64), (6, 4)), (224, (14, 14))])
def test_a_transformer_of_fixed_size_is_built_for_the_size_that_it_sees(
    size: int | tuple[int, int], grid: tuple[int, int]
) -> None:
    preprocess = load_model(VIT).preprocess.with_size(size)
    assert load_model(VIT, preprocess=preprocess).layer.grid == grid
    seen = load(resolve(VIT), device=None, change_preprocess=lambda own: own.with_size(size))
    assert (seen.layer.grid, seen.preprocess.size) == (grid, preprocess.size)


def test_a_comparison_at_one_size_has_transformers_of_that_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    resnet = ModelSpec("test_resnet", pretrained=False)
    comparison = compare(image, [VIT, resnet], size=96, progress=False)
    assert [cell.heatmap.shape for cell in comparison] == [(6, 6), (3, 3)]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Return the options with which each architecture was built."""
    options: list[dict[str, object]] = []

    def watch(kind: Any) -> Any:
        really = kind.build

        def build(*args: Any, **keywords: Any) -> nn.Module:
            options.append(dict(keywords["options"]))
            module: nn.Module = really(*args, **keywords)
            return module

        return build

    for kind in KINDS.values():
        monkeypatch.setattr(kind, "build", watch(kind))
    return options


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (VIT, {"depth": 1, "img_size": (96, 96)}),
        (replace(VIT, options={"depth": 1, "img_size": 96}), {"depth": 1, "img_size": 96}),
        (replace(VIT, preprocess=Preprocess(size=224)), {"depth": 1, "img_size": (96, 96)}),
        (ModelSpec("test_resnet", pretrained=False), {}),
        (ModelSpec("squeezenet1_1", pretrained=False), {}),
    ],
)
def test_a_size_is_passed_on_only_to_what_is_built_for_one(
    built: list[dict[str, object]], spec: ModelSpec, options: dict[str, object]
) -> None:
    load(resolve(spec), device=None, change_preprocess=lambda own: own.with_size(96))
    assert built == [options]


def test_torchvisions_transformers_are_built_for_the_size_that_they_see(
    built: list[dict[str, object]],
) -> None:
    spec = ModelSpec("torchvision:vit_b_16", pretrained=False)
    with torch.device("meta"):
        model = load(resolve(spec), device="meta", change_preprocess=lambda own: own.with_size(96))
    assert built == [{"image_size": 96}]
    assert model.layer.grid == (6, 6)


def test_at_its_own_size_it_is_built_without_size_options(built: list[dict[str, object]]) -> None:
    assert load_model(VIT).layer.grid == (14, 14)
    assert built == [{"depth": 1}]


def test_what_cannot_be_built_for_another_size_is_built_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really = TimmArchitecture.build

    def build(*args: Any, options: dict[str, object], **keywords: Any) -> nn.Module:
        if "img_size" in options:
            raise ModelError("no other size")
        return really(*args, options=options, **keywords)

    monkeypatch.setattr(TimmArchitecture, "build", build)
    with pytest.raises(ModelError, match=r"does not run on a batch of 96 x 96.*224"):
        load(resolve(VIT), device=None, change_preprocess=lambda own: own.with_size(96))
    with pytest.raises(ModelError, match="no other size"):
        load_model(replace(VIT, options={"img_size": 96}))


# models without weights, and without a classifier


def test_untrained_models_have_shapes_and_no_weights() -> None:
    model = load_untrained("timm:test_resnet")
    assert {each.device.type for each in model.module.parameters()} == {"meta"}
    built = load_model("timm:test_resnet", pretrained=False)
    assert model.layers() == built.layers()
    assert (model.target_layers, model.labels) == (built.target_layers, built.labels)
    with pytest.raises(UnknownModelError, match="Did you mean 'test_resnet"):
        load_untrained("test_resnt")


def test_models_that_read_numbers_while_they_are_built_have_shapes_too() -> None:
    model = load_model("torchvision:regnet_y_400mf", pretrained=False, device="meta")
    assert {each.device.type for each in model.module.parameters()} == {"meta"}
    assert (model.target_layer, model.layer.grid) == ("trunk_output", (7, 7))


def test_untrained_models_that_read_numbers_in_their_pass_get_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Reading(Small):
        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = super().forward(images) * float(images.mean() > -9)
            return scores

    monkeypatch.setattr(registry, "_registered", {})
    registry.register_model(ModelSpec("reading", Reading, preprocess=Preprocess(size=32)))
    model = load_untrained("reading")
    assert model.device.type != "meta"
    assert model.target_layer == "features"


def test_a_registered_model_is_shown_untrained_too(registered: ModelSpec) -> None:
    model = load_untrained(registered.name)
    assert (model.target_layer, model.labels) == ("features", ("a", "b", "c"))


@pytest.mark.parametrize("name", ["convnextv2_atto.fcmae", "eva02_tiny_patch14_224.mim_in22k"])
def test_weights_without_a_classifier_are_asked_for_no_class_before_anything_is_fetched(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(downloads, "require", lambda _: pytest.fail("weights were looked for"))
    for target in (None, 3, {"first": "top1", "query": Similar(photo)}):
        with pytest.raises(TargetError, match=rf"^{name} has no classifier, .*Similar"):
            compare(photo, name, target=target)
    model = load_untrained(name)
    assert (model.scores.outputs, model.labels) == ("embedding", ())


def test_weights_without_a_classifier_can_be_given_one(tmp_path: Path) -> None:
    name, options = "convnextv2_atto.fcmae", {"num_classes": 7}
    model = load_model(name, pretrained=False, options=options)
    assert model.labels == tuple(f"class {index}" for index in range(7))
    torch.save(model.module.state_dict(), tmp_path / "head.pt")
    again = load_model(name, checkpoint=tmp_path / "head.pt")
    assert again.num_classes == 7
    assert torch.equal(again.module.head.fc.weight, model.module.head.fc.weight)
    own = {key: each for key, each in model.module.state_dict().items() if "head.fc" not in key}
    torch.save(own, tmp_path / "features.pt")
    headless = load_model(name, checkpoint=tmp_path / "features.pt")
    assert (headless.scores.outputs, headless.scores.classes) == ("embedding", 320)


def test_a_thousand_features_are_not_imagenet_classes() -> None:
    options = {"num_classes": 0, "embed_dim": 1000, "num_heads": 10, "depth": 1}
    headless = load_model("timm:test_vit", pretrained=False, options=options)
    assert "no classes, embeddings of 1000 values" in repr(headless)
    assert headless.scores.cause.startswith("it was built without one")
    names = [f"feature {index}" for index in range(1000)]
    model = load_model("timm:test_vit", pretrained=False, options=options, labels=names)
    assert model.labels[145] == "feature 145"


def test_names_of_other_classes_are_not_replaced_by_imagenets(tmp_path: Path) -> None:
    donor = load_model("test_resnet", pretrained=False).module
    file = tmp_path / "best.pt"
    torch.save({"state_dict": donor.state_dict(), "class_names": ["rose"] * 999}, file)
    assert load_model("test_resnet", checkpoint=file).labels[:2] == ("class 0", "class 1")
