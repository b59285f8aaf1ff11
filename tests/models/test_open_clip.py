"""Models of open_clip by name and as objects: with random weights of a tiny architecture."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from effcam import ModelSpec, list_models
from effcam.errors import ArgumentError, ModelError, UnknownModelError, WeightsError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import BuiltModule
from effcam.models.image_processor import open_clip_preprocess, open_clip_transform
from effcam.models.listing import describe
from effcam.models.lookup import find_architecture
from effcam.models.sources import check_weights, resolve

open_clip = pytest.importorskip("open_clip", reason="open_clip is in the extra clip")

if TYPE_CHECKING:
    from tests.conftest import Host

SIDE = 32
VISION = {"image_size": SIDE, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
TINY = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT}
COCA = {
    **TINY,
    "custom_text": True,
    "vision_cfg": {
        **VISION,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    },
    "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {**TEXT, "attn_pooler_heads": 2},
}
TAG = {
    "hf_hub": "me/tiny/",
    "quick_gelu": True,
    "mean": (0.1, 0.2, 0.3),
    "std": (0.5, 0.6, 0.7),
    "interpolation": "bilinear",
    "resize_mode": "squash",
}
REPOSITORY = "/me/tiny/resolve/main"


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add tiny architectures to open_clip, one of them with published weights."""
    from open_clip import factory, pretrained

    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    tag = {"mean": None, "std": None, **TAG}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", {"best": tag, "other": {"hf_hub": "me/o/"}})
    for name, config in (("tiny", TINY), ("tiny-coca", COCA)):
        factory._MODEL_CONFIGS[name] = config


def build(name: str, **spec: Any) -> BuiltModule:
    return resolve(ModelSpec(name, **spec)).build(device="cpu", change_preprocess=lambda own: own)


def noise(*size: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))


# building


def test_the_image_tower_gives_the_embedding_of_encode_image() -> None:
    built, images = build("open_clip:tiny", pretrained=False), torch.rand(2, 3, SIDE, SIDE)
    model = open_clip.create_model("tiny")
    model.load_state_dict(built.module.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(built.module(images), model.eval().encode_image(images))
    assert built.module(images).shape == (2, 24)
    assert (built.name, built.weights) == ("open_clip:tiny", "random")
    assert not any(each.requires_grad for each in built.module.parameters())


def test_texts_have_the_embedding_of_encode_text() -> None:
    built, texts = build("open_clip:tiny", pretrained=False), ["a red square", "two dogs"]
    model: Any = built.module
    tokens = open_clip.get_tokenizer("tiny")(texts)
    assert built.text is not None
    expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(built.text.encode(texts), expected)
    assert (built.text.link, built.text.bias) == ("softmax", 0.0)
    assert built.text.scale == pytest.approx(1 / 0.07)
    with pytest.raises(ArgumentError, match="the model reads 12 tokens"):
        built.text.encode(["red " * 11])
    assert built.text.encode(["red " * 10]).shape == (1, 24)


def test_cocas_embedding_is_that_before_it_is_normalised() -> None:
    built = build("open_clip:tiny-coca", pretrained=False)
    model: Any = built.module
    images = torch.rand(2, 3, SIDE, SIDE)
    found, unit = model(images), model.encode_image(images)
    torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), unit)
    assert (found.norm(dim=1) - 1).abs().min() > 0.01


def test_a_sigmoid_models_bias_makes_its_link() -> None:
    built = build("open_clip:tiny", pretrained=False, options={"init_logit_bias": -10.0})
    assert built.text is not None
    assert (built.text.link, built.text.bias) == ("sigmoid", -10.0)


def test_options_go_to_the_constructor() -> None:
    options = {"force_image_size": 64}
    assert build("open_clip:tiny", pretrained=False, options=options).preprocess.size == (64, 64)
    with pytest.raises(ModelError, match=r"open_clip:tiny cannot be built with {'no_such': 1}"):
        build("open_clip:tiny", pretrained=False, options={"no_such": 1})


def test_a_module_of_the_callers_carries_its_transform() -> None:
    model, _, own = open_clip.create_model_and_transforms("tiny", image_mean=(0.1, 0.2, 0.3))
    built = resolve(model).build(device=None, change_preprocess=lambda own: own)
    image = noise(50, 41)
    assert torch.equal(built.preprocess(image)[0], own(image))
    assert built.text is not None
    with pytest.raises(ArgumentError, match="tokenizer"):
        built.text.encode(["a dog"])


# published weights


def test_weights_by_tag_with_their_transform_and_activation(hub: Host, tmp_path: Path) -> None:
    saved = open_clip.create_model("tiny", quick_gelu=True).eval()
    file = tmp_path / "open_clip_model.safetensors"
    save_file(saved.state_dict(), file)
    hub.files[f"{REPOSITORY}/{file.name}"] = file.read_bytes()
    built, images = build("open_clip:tiny/best"), torch.rand(2, 3, SIDE, SIDE)
    assert (built.name, built.weights) == ("open_clip:tiny/best", "best")
    with torch.no_grad():
        torch.testing.assert_close(built.module(images), saved.encode_image(images))
    assert built.preprocess == Preprocess(
        size=SIDE,
        resize=SIDE,
        mode="squash",
        interpolation="bilinear",
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.6, 0.7),
    )
    asked = len(hub.asked)
    build("open_clip:tiny/best")
    assert len(hub.asked) == asked, "the second time, it is on disk"


def test_a_checkpoint_takes_the_place_of_the_weights_of_a_tag(tmp_path: Path) -> None:
    saved, file = open_clip.create_model("tiny", quick_gelu=True).eval(), tmp_path / "own.pt"
    torch.save(saved.state_dict(), file)
    built, images = build("open_clip:tiny/best", checkpoint=file), torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(built.module(images), saved.encode_image(images))
    assert (built.weights, built.preprocess.mode) == ("own.pt", "squash")


def test_pickles_that_run_code_are_refused(hub: Host, tmp_path: Path) -> None:
    file = tmp_path / "evil"
    torch.save({"state_dict": {"a": logging.getLogger}}, file)
    hub.files[f"{REPOSITORY}/open_clip_pytorch_model.bin"] = file.read_bytes()
    with pytest.raises(WeightsError, match="the weights of open_clip:tiny/best cannot be loaded"):
        build("open_clip:tiny/best")


@pytest.mark.usefixtures("hub_cache")
def test_without_a_network_the_missing_weights_are_named() -> None:
    with pytest.raises(WeightsError, match=r"open_clip:tiny/best \(https://huggingface.co/me/tiny"):
        check_weights(["open_clip:tiny/best"])


@pytest.mark.usefixtures("hub_cache")
def test_the_files_of_a_tokenizer_are_asked_for_when_a_text_is() -> None:
    built = build("open_clip:ViT-B-32-SigLIP2-256", pretrained=False, options=SMALL)
    assert built.text is not None
    assert built.text.link == "sigmoid"
    with pytest.raises(WeightsError, match=r"files of the tokenizer .*/ViT-B-32-SigLIP2-256\)"):
        built.text.encode(["a dog"])


SMALL = {
    "vision_cfg": VISION,
    "text_cfg": {**TEXT, "hf_tokenizer_name": "timm/ViT-B-32-SigLIP2-256"},
    "embed_dim": 24,
}


@pytest.mark.usefixtures("hub_cache")
def test_a_text_tower_of_transformers_needs_its_configuration() -> None:
    with pytest.raises(WeightsError, match=r"these configuration files .*roberta-base\)"):
        build("open_clip:roberta-ViT-B-32", pretrained=False)


# names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "open_clip:tiny",
            "needs the tag of its weights, as 'open_clip:tiny/best', or pretrained=",
        ),
        (
            "open_clip:tiny/bst",
            "no weights 'bst' for 'tiny'. Did you mean 'best'. It has best, oth",
        ),
        ("open_clip:tiny-coca", "no weights are published for open_clip:tiny-coca: give a checkpo"),
        ("open_clip:ViT-B-33/openai", "no architecture 'ViT-B-33'. Did you mean 'ViT-B-32'"),
        ("open_clip:a/b/c", "expected open_clip:ARCHITECTURE/TAG"),
        ("ViT-B-32-SigLIP2", "Did you mean 'open_clip:ViT-B-32-SigLIP2-256'"),
    ],
)
def test_names_that_stand_for_nothing(name: str, message: str) -> None:
    with pytest.raises(UnknownModelError, match=message):
        resolve(name)


def test_tags_are_written_as_open_clip_lets_them_be() -> None:
    assert str(find_architecture("open_clip:tiny/BEST")) == "open_clip:tiny/best"


def test_listing() -> None:
    names = list_models(source="open_clip")
    assert "open_clip:ViT-B-32" in names
    assert set(names) == {f"open_clip:{name}" for name in open_clip.list_models()} - {
        "open_clip:tiny",
        "open_clip:tiny-coca",
    }
    assert list_models("ViT-B-32", source="open_clip") == ("open_clip:ViT-B-32",)
    assert "open_clip:ViT-B-32/openai" in list_models("open_clip:ViT-B-32/*", pretrained=True)
    assert "open_clip:ViT-S-32" in list_models(source="open_clip", pretrained=False)
    assert not [name for name in list_models() if name.startswith("open_clip:")]
    assert describe("open_clip:ViT-B-32-256").size == (256, 256)


@pytest.mark.slow
def test_listing_imports_neither_torch_nor_open_clip() -> None:
    code = (
        "import sys, effcam; assert len(effcam.list_models(source='open_clip')) > 100; "
        "assert not {'torch', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_building_leaves_the_root_logger_alone() -> None:
    code = (
        "import logging, effcam; effcam.models.sources.resolve(effcam.ModelSpec("
        "'open_clip:ViT-S-32-alt', pretrained=False)).build(device='meta', "
        "change_preprocess=lambda own: own); assert not logging.getLogger().handlers"
    )
    subprocess.run([sys.executable, "-c", f"import effcam.models.sources; {code}"], check=True)


# transforms


SHAPES = [(227, 227), (301, 200), (200, 303), (81, 240), (9, 5)]


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 224},
        {"size": 64, "interpolation": "bilinear"},
        {"size": (64, 48)},
        {"size": (48, 64), "resize_mode": "squash", "mean": (0.5,) * 3, "std": (0.5,) * 3},
    ],
)
def test_the_transform_is_open_clips_own_bit_for_bit(changes: dict[str, Any]) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(**changes)
    own, found = image_transform_v2(config, is_train=False), open_clip_transform(vars(config))
    for shape in SHAPES:
        image = noise(*shape)
        assert torch.equal(found(image)[0], own(image)), shape


def test_every_published_tag_has_a_transform_that_effcam_has() -> None:
    modes = {
        (tag.get("resize_mode"), tag.get("interpolation"))
        for tags in open_clip.pretrained._PRETRAINED.values()
        for tag in tags.values()
    }
    assert {mode for mode, _ in modes} <= {None, "shortest", "squash"}
    assert {name for _, name in modes} <= {None, "bicubic", "bilinear"}


def test_a_transform_that_pads_is_refused() -> None:
    model: Any = open_clip.create_model("tiny", force_preprocess_cfg={"resize_mode": "longest"})
    with pytest.raises(
        ModelError, match="resized in the mode 'longest', which pads them: give pre"
    ):
        open_clip_preprocess(model)
