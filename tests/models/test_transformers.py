"""Models of images and texts of transformers: tiny, with random weights, stored and as objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from effcam import ModelSpec, load_model
from effcam.errors import ArgumentError, ModelError, UnknownModelError, WeightsError
from effcam.images.preprocess import Preprocess
from effcam.models.built_module import BuiltModule
from effcam.models.image_processor import processor_preprocess
from effcam.models.sources import check_weights, resolve
from effcam.models.tracing.score_source import run_scores

transformers = pytest.importorskip("transformers", reason="transformers is in the extra clip")

if TYPE_CHECKING:
    from tests.conftest import Host

SIDE, LENGTH = 32, 24
BEGIN, END, UNKNOWN = "<s>", "</s>", "?"
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
VISION = {**TOWER, "image_size": SIDE, "patch_size": 8, "projection_dim": 24}
TEXTS = ["dog", "a big cat"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Return a tokenizer of letters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    tokens = [*map(chr, range(ord("a"), ord("z") + 1)), " ", UNKNOWN, BEGIN, END]
    vocab = {token: at for at, token in enumerate(tokens)}
    letters = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    ends = [(token, vocab[token]) for token in (BEGIN, END)]
    letters.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=letters,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        model_max_length=LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


@pytest.fixture(scope="module")
def clip(tokenizer: Any) -> Any:
    text = {
        **TOWER,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": LENGTH,
        "projection_dim": 24,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24)
    return transformers.CLIPModel(config).eval()


@pytest.fixture(scope="module")
def siglip(tokenizer: Any) -> Any:
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    vision = {**TOWER, "image_size": SIDE, "patch_size": 8}
    torch.manual_seed(0)
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    return transformers.SiglipModel(config).eval()


@pytest.fixture(scope="module")
def processor(tokenizer: Any) -> Any:
    size, crop = {"shortest_edge": 40}, {"height": SIDE, "width": SIDE}
    return transformers.CLIPProcessor(
        image_processor=transformers.CLIPImageProcessor(size=size, crop_size=crop),
        tokenizer=tokenizer,
    )


@pytest.fixture
def folder(tmp_path: Path, clip: Any, processor: Any) -> Path:
    clip.save_pretrained(tmp_path / "clip")
    processor.save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def build(source: Any) -> BuiltModule:
    return resolve(source).build(device=None, change_preprocess=lambda own: own)


def scores(built: BuiltModule, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
    """Return the score of each image with each text."""
    assert built.text is not None
    unit = torch.nn.functional.normalize(built.module(images), dim=1)
    return built.text.scale * unit @ built.text.encode(texts).T + built.text.bias


# in a folder


def test_a_folder_is_a_model_with_its_tokenizer_and_its_transform(
    folder: Path, clip: Any, tokenizer: Any, images: torch.Tensor
) -> None:
    built = build(f"hf:{folder}")
    tokens = tokenizer(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        expected = clip(pixel_values=images, **tokens)
        torch.testing.assert_close(
            scores(built, images, TEXTS), expected.logits_per_image, rtol=1e-4, atol=1e-4
        )
    assert built.text is not None
    assert (built.text.link, built.text.bias) == ("softmax", 0.0)
    assert (built.name, built.weights) == (f"hf:{folder}", "model.safetensors")
    assert built.preprocess.size == (SIDE, SIDE)
    assert built.preprocess.resize == (40, 40)
    assert not any(each.requires_grad for each in built.module.parameters())


def test_siglips_texts_are_padded_to_their_full_length(
    siglip: Any, tokenizer: Any, images: torch.Tensor
) -> None:
    preprocess = Preprocess(size=SIDE)
    labels = {text: text for text in TEXTS}
    model = load_model(siglip, tokenizer=tokenizer, preprocess=preprocess, labels=labels)
    tokens = tokenizer(TEXTS, return_tensors="pt", padding="max_length")
    assert model.text is not None
    assert model.text.link == model.scores.link == "sigmoid"
    with torch.no_grad():
        expected = siglip(pixel_values=images, **tokens)
        found = run_scores(model.module, images, model.scores)
    torch.testing.assert_close(model.text.encode(TEXTS), expected.text_embeds)
    torch.testing.assert_close(found.values, expected.logits_per_image)
    torch.testing.assert_close(found.probabilities, expected.logits_per_image.sigmoid())


def test_labels_make_a_classifier(folder: Path) -> None:
    model = load_model(f"hf:{folder}", labels={"dog": "dog", "cat": ["a cat", "cat"]})
    assert model.labels == ("dog", "cat")
    assert model.target_layer == "vision_model.encoder.layers.1.layer_norm1"
    again = load_model(model, labels=["fish", "bird"])
    assert again.labels == ("fish", "bird")
    assert again.module is model.module


def test_texts_that_are_too_long_are_refused(folder: Path) -> None:
    text = build(f"hf:{folder}").text
    assert text is not None
    assert text.encode(["d" * (LENGTH - 2)]).shape == (1, 24)
    with pytest.raises(ArgumentError, match="the model reads 24 tokens, and it has 25 tokens, so"):
        text.encode(["d" * (LENGTH - 1)])


def test_without_weights_it_needs_none(folder: Path, clip: Any) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="holds no weights: expected model"):
        build(f"hf:{folder}")
    built = build(ModelSpec(f"hf:{folder}", pretrained=False))
    assert built.weights == "random"
    assert built.module.state_dict().keys() == clip.state_dict().keys()


def test_weights_in_parts(folder: Path, clip: Any, images: torch.Tensor) -> None:
    (folder / "model.safetensors").unlink()
    clip.save_pretrained(folder, max_shard_size="20KB")
    index = folder / "model.safetensors.index.json"
    built = build(f"hf:{folder}")
    with torch.no_grad():
        found = clip.get_image_features(pixel_values=images)
        expected = getattr(found, "pooler_output", found)
        torch.testing.assert_close(built.module(images), expected)
    content = json.loads(index.read_text())
    content["weight_map"] = dict.fromkeys(content["weight_map"], "../model.safetensors")
    index.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="lists no files beside it"):
        build(f"hf:{folder}")


def test_weights_that_lack_a_part_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    state = load_file(file)
    del state["visual_projection.weight"]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 tensor: visual_projection\.weight"):
        build(f"hf:{folder}")


def test_options_go_to_the_configuration(folder: Path) -> None:
    options = {"initializer_factor": 0.5}
    assert build(ModelSpec(f"hf:{folder}", pretrained=False, options=options)).weights == "random"
    with pytest.raises(ModelError, match=r"cannot be built with {'no_such': 1}: .*'no_such'"):
        build(ModelSpec(f"hf:{folder}", options={"no_such": 1}))


def test_pickles_that_run_code_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": np.random.Generator}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin"):
        build(f"hf:{folder}")


def test_no_code_of_a_folder_is_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    for model_type in ("clip", "unheard_of"):
        content = {
            **config,
            "model_type": model_type,
            "auto_map": {
                "AutoConfig": "evil.Config",
                "AutoModel": "evil.Model",
                "AutoTokenizer": "evil.T",
                "AutoImageProcessor": "evil.P",
            },
        }
        (folder / "config.json").write_text(json.dumps(content))
        if model_type == "clip":
            assert build(f"hf:{folder}").module(torch.rand(1, 3, SIDE, SIDE)).shape == (1, 24)
        else:
            with pytest.raises(ModelError, match="cannot be built"):
                build(ModelSpec(f"hf:{folder}", preprocess=Preprocess(size=SIDE)))


@pytest.mark.parametrize(
    ("file", "change", "error", "message"),
    [
        (
            "config.json",
            None,
            WeightsError,
            "holds no config.json: expected a folder as",
        ),
        ("config.json", "{", WeightsError, "cannot be read as JSON"),
        ("config.json", "{}", ModelError, "is no model of transformers: its config.json states no"),
        ("config.json", '{"architecture": "x"}', ModelError, "For a timm model, write hf-hub:"),
        (
            "config.json",
            '{"model_type": "vit"}',
            ModelError,
            "of the type 'vit', which does",
        ),
        ("model.safetensors", "?", WeightsError, "cannot be loaded from"),
        (
            "processor_config.json",
            None,
            ModelError,
            r"has no preprocessor_config.json: ",
        ),
    ],
)
def test_broken_folders(
    folder: Path, file: str, change: str | None, error: type[Exception], message: str
) -> None:
    if change is None:
        for each in {file, file.replace("processor", "preprocessor")}:
            (folder / each).unlink(missing_ok=True)
    else:
        (folder / file).write_text(change)
    with pytest.raises(error, match=message):
        build(f"hf:{folder}")


def test_a_folder_without_a_tokenizer_gives_embeddings_alone(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    built = build(f"hf:{folder}")
    assert built.module(torch.rand(1, 3, SIDE, SIDE)).shape == (1, 24)
    assert built.text is not None
    with pytest.raises(WeightsError, match="has no tokenizer: expected tokenizer"):
        built.text.encode(TEXTS)


# on the hub


def test_a_repository_is_fetched_once(hub: Host, folder: Path, images: torch.Tensor) -> None:
    for file in folder.iterdir():
        hub.files[f"/me/clip/resolve/main/{file.name}"] = file.read_bytes()
    check_weights(["hf:me/clip"])
    first = scores(build("hf:me/clip"), images, TEXTS)
    torch.testing.assert_close(first, scores(build(f"hf:{folder}"), images, TEXTS))
    asked = [each for each in hub.asked if each.startswith("GET")]
    assert not [each for each in asked if each.endswith(".py")]
    scores(build("hf:me/clip"), images, TEXTS)
    assert [each for each in hub.asked if each.startswith("GET")] == asked


@pytest.mark.usefixtures("hub_cache")
def test_without_a_network_what_is_missing_is_named() -> None:
    with pytest.raises(
        WeightsError, match=r"these weights are not .* hf:me/clip \(https://hugging"
    ):
        check_weights(["hf:me/clip"])
    with pytest.raises(WeightsError, match="these configuration files are not on this machine"):
        build("hf:me/clip")


@pytest.mark.parametrize("name", ["hf:a/b/c", "hf:a b", "hf:me/-"])
def test_names_that_no_repository_has(name: str) -> None:
    with pytest.raises(UnknownModelError, match="expected hf:OWNER/NAME, hf:OWNER"):
        resolve(name)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist: expected a folder as save_pretrained"):
        build(f"hf:{tmp_path / 'none'}")


# objects


def test_an_object_with_its_processor(clip: Any, processor: Any) -> None:
    clip.train()
    model = load_model(clip, tokenizer=processor, labels=["dog", "cat"])
    assert model.preprocess.resize == (40, 40)
    assert model.name == "CLIPModel"
    assert model.scores.head is not None
    assert clip.training
    clip.eval()
    assert model.module.state_dict().keys() == clip.state_dict().keys()


def test_an_object_needs_a_transform_and_for_texts_a_tokenizer(clip: Any) -> None:
    with pytest.raises(ArgumentError, match="does not hold how photos become its inputs: "):
        load_model(clip)
    model = load_model(clip, preprocess=Preprocess(size=SIDE))
    assert model.scores.outputs == "embedding"
    with pytest.raises(ArgumentError, match=r"no tokenizer .*load_model\(module, tokenizer=\.\.\."):
        load_model(model, labels=["dog", "cat"])


def test_models_of_patches_are_refused() -> None:
    with torch.device("meta"):
        model = transformers.Siglip2Model(transformers.Siglip2Config())
    with pytest.raises(ModelError, match="Siglip2Model takes patches of images of any size"):
        load_model(model, preprocess=Preprocess(size=SIDE), device="meta")


# transforms


SQUARE = {"height": 64, "width": 64}
PAIRS: list[tuple[str, dict[str, Any]]] = [
    (
        "CLIPImageProcessor",
        {"size": {"shortest_edge": 64}, "crop_size": SQUARE},
    ),
    ("SiglipImageProcessor", {"size": {"height": 48, "width": 64}}),
    ("BlipImageProcessor", {"size": SQUARE}),
    (
        "EfficientNetImageProcessor",
        {
            "size": {"height": 70, "width": 70},
            "crop_size": {"height": 61, "width": 63},
            "do_center_crop": True,
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "do_normalize": False,
            "include_top": False,
        },
    ),
    ("EfficientNetImageProcessor", {"size": SQUARE}),
]


@pytest.mark.parametrize(("name", "settings"), PAIRS)
def test_the_transform_is_that_of_transformers_with_pillow(
    name: str, settings: dict[str, Any]
) -> None:
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    own = kind(**settings)
    found = processor_preprocess(own)
    generator = np.random.default_rng(0)
    for shape in [(227, 227), (301, 200), (200, 303), (81, 240), (67, 66)]:
        pixels = generator.integers(0, 256, (*shape, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        expected = own(image, return_tensors="pt")["pixel_values"][0]
        torch.testing.assert_close(found(image)[0], torch.as_tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"do_pad": True}, "its image processor has the step do_pad: give preprocess="),
        ({"size": {"shortest_edge": 3, "longest_edge": 9}}, "resizes images to .*longest_edge"),
        ({"do_center_crop": False}, "gives images of no fixed size"),
        ({"resample": 77}, "with the filter 77"),
    ],
)
def test_transforms_that_effcam_has_not_are_refused(changes: dict[str, Any], message: str) -> None:
    processor = transformers.CLIPImageProcessor()
    for name, value in changes.items():
        setattr(processor, name, value)
    with pytest.raises(ModelError, match=message):
        processor_preprocess(processor)
