"""timm models stored with their configuration in a folder or on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn

from effcam import ModelSpec, load_model
from effcam.errors import ModelError, UnknownModelError, WeightsError
from effcam.models.loading import load
from effcam.models.lookup import find_architecture
from effcam.models.sources import check_weights, resolve
from effcam.models.stored_architecture import StoredArchitecture

if TYPE_CHECKING:
    from tests.conftest import Host

FLOWERS = ["rose", "tulip", "daisy"]
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
VIT = "vit_tiny_patch16_224"
"""A transformer that is built for one input size; of one block here."""


def save(folder: Path, name: str = "test_resnet", *, safe: Any = True, **options: Any) -> nn.Module:
    """Save a model of three flowers as timm does, and return it."""
    module = drawn(timm.create_model(name, **{"num_classes": 3, **options}), seed=1)
    save_for_hf(
        module,
        str(folder),
        model_config={"label_names": FLOWERS} if module.num_classes == 3 else {},
        model_args=options,
        safe_serialization=safe,
    )
    return module


def drawn(module: nn.Module, seed: int) -> Any:
    """Return the module with random values of its own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator))
    return module.eval()


def assert_same(module: nn.Module, expected: nn.Module) -> None:
    held, wanted = module.state_dict(), expected.state_dict()
    assert held.keys() == wanted.keys()
    assert all(torch.equal(held[name], value) for name, value in wanted.items())


def change(folder: Path, **changes: Any) -> None:
    """Change settings in a folder's configuration; remove those that are ``...``."""
    file = folder / "config.json"
    content = json.loads(file.read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not ...}
    file.write_text(json.dumps(kept))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "flowers"


# in a folder


@pytest.mark.parametrize(("safe", "file"), [(True, SAFE), (False, PICKLED), ("both", SAFE)])
def test_a_folder_as_timm_saves_it_is_a_model(folder: Path, safe: object, file: str) -> None:
    saved = save(folder, safe=safe)
    model = load_model(f"local-dir:{folder}")
    assert_same(model.module, saved)
    assert (model.name, model.weights, model.labels) == (
        f"local-dir:{folder}",
        file,
        tuple(FLOWERS),
    )
    own = find_architecture("test_resnet").preprocess()
    assert model.preprocess == own
    assert own.size == (160, 160)
    assert model.target_layer == load_model("test_resnet", pretrained=False).target_layer


def test_safe_weights_go_before_pickled_ones(folder: Path) -> None:
    save(folder, safe="both")
    other = drawn(timm.create_model("test_resnet", num_classes=3), seed=2)
    save_file(other.state_dict(), folder / SAFE)
    assert_same(
        StoredArchitecture("local-dir", str(folder)).build(pretrained=True, options={}), other
    )


def test_a_folder_is_named_from_where_one_is_and_from_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save(folder)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    for name in ("local-dir:flowers", "local-dir:./flowers/", "local-dir:~/flowers"):
        assert_same(find_architecture(name).build(pretrained=True, options={}), saved)


@pytest.mark.parametrize("place", ["a/b.c", "C:\\models\\a", "a:b"])
def test_a_place_is_taken_as_it_is_written(place: str) -> None:
    architecture = find_architecture(f"local-dir:{place}")
    assert architecture == StoredArchitecture("local-dir", place)
    assert str(architecture) == f"local-dir:{place}"


def test_the_older_configuration_of_one_level(folder: Path) -> None:
    saved = save(folder)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(
            {
                **content["pretrained_cfg"],
                "architecture": "test_resnet",
                "num_classes": 3,
                "num_features": 96,
                "labels": FLOWERS,
                "mean": [0.1, 0.2, 0.3],
            }
        )
    )
    model = load_model(f"local-dir:{folder}")
    assert_same(model.module, saved)
    assert model.labels == tuple(FLOWERS)
    assert model.preprocess.size == (160, 160)
    assert model.preprocess.mean == (0.1, 0.2, 0.3)


def test_settings_that_are_null_are_taken_for_missing(folder: Path) -> None:
    saved = save(folder)
    change(folder, model_args=None, label_names=None, pretrained_cfg=None)
    model = load_model(f"local-dir:{folder}")
    assert_same(model.module, saved)
    assert model.labels == ("class 0", "class 1", "class 2")


def test_labels_by_index_are_put_in_order(folder: Path) -> None:
    save(folder)
    change(folder, label_names={"2": "daisy", "0": "rose", "1": "tulip"})
    assert load_model(f"local-dir:{folder}").labels == tuple(FLOWERS)


def test_without_weights_it_needs_none(folder: Path) -> None:
    saved = save(folder)
    (folder / SAFE).unlink()
    model = load_model(f"local-dir:{folder}", pretrained=False)
    assert (model.weights, model.labels) == ("random", tuple(FLOWERS))
    assert not torch.equal(
        model.module.get_parameter("fc.weight"), saved.get_parameter("fc.weight")
    )


def test_the_arguments_it_was_made_with_are_kept_and_options_go_over_them(folder: Path) -> None:
    saved = save(folder, drop_rate=0.25, global_pool="max")
    change(folder, model_args={"drop_rate": 0.25, "global_pool": "max"})
    architecture = find_architecture(f"local-dir:{folder}")
    module: Any = architecture.build(pretrained=True, options={})
    assert (module.drop_rate, module.global_pool.pool_type) == (0.25, "max")
    other: Any = architecture.build(pretrained=True, options={"drop_rate": 0.5})
    assert (other.drop_rate, other.global_pool.pool_type) == (0.5, "max")
    assert_same(other, saved)
    with pytest.raises(ModelError, match=r"cannot be built with {'colour': 1}: .*'colour'"):
        architecture.build(pretrained=True, options={"colour": 1})


def test_its_weights_get_no_random_head(folder: Path) -> None:
    save(folder)
    architecture = find_architecture(f"local-dir:{folder}")
    with pytest.raises(ModelError, match="are for 3 classes, not num_classes=7: give a checkpoint"):
        architecture.build(pretrained=True, options={"num_classes": 7})
    model = load_model(f"local-dir:{folder}", pretrained=False, options={"num_classes": 7})
    assert model.labels == tuple(f"class {index}" for index in range(7))


def test_a_checkpoint_takes_the_place_of_its_weights(folder: Path) -> None:
    save(folder)
    other = drawn(timm.create_model("test_resnet", num_classes=4), seed=2)
    torch.save(other.state_dict(), folder / "best.pt")
    model = load_model(f"local-dir:{folder}", checkpoint=folder / "best.pt")
    assert_same(model.module, other)
    assert (model.weights, model.num_classes) == ("best.pt", 4)


def test_a_model_of_fixed_size_is_built_for_another(folder: Path) -> None:
    save(folder, VIT, depth=1)
    name = f"local-dir:{folder}"
    own = load_model(name)
    assert (own.preprocess.size, own.layer.grid) == ((224, 224), (14, 14))
    other = load(resolve(name), device=None, change_preprocess=lambda own: own.with_size(96))
    assert (other.layer.grid, other.weights) == ((6, 6), SAFE)
    head = "head.weight"
    assert torch.equal(other.module.get_parameter(head), own.module.get_parameter(head))


@pytest.mark.parametrize("size", [96, [96, 64]])
def test_the_size_it_was_made_for_goes_before_the_one_its_weights_began_with(
    folder: Path, size: Any
) -> None:
    # Older releases of timm did not write the size of the arguments into the record.
    save(folder, VIT, depth=1, img_size=size)
    content = json.loads((folder / "config.json").read_text())
    record = content["pretrained_cfg"] | {"input_size": [3, 224, 224]}
    change(folder, model_args={"depth": 1, "img_size": size}, pretrained_cfg=record)
    model = load_model(f"local-dir:{folder}")
    assert model.preprocess.size == (96, 96 if size == 96 else 64)


# faulty folders


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, r"folder '.*flowers' does not exist: expected a folder as timm saves models"),
        ([], r"folder '.*flowers' holds no config\.json: expected .* and model\.safetensors$"),
        ([SAFE], r"folder '.*flowers' holds no config\.json"),
        (
            ["config.json"],
            r"flowers' holds no weights: expected model\.safetensors or pytorch_model\.bin$",
        ),
    ],
)
def test_missing_files_are_reported_before_anything_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, names: list[str] | None, message: str
) -> None:
    if names is not None:
        save(folder)
        for file in list(folder.iterdir()):
            if file.name not in names:
                file.unlink()
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("built"))
    name = f"local-dir:{folder}"
    with pytest.raises(WeightsError, match=message):
        check_weights([ModelSpec("torchvision:alexnet", pretrained=False), name])
    with pytest.raises(WeightsError, match=message):
        load_model(name)
    check_weights([ModelSpec(name, pretrained=False)])


def test_a_checkpoint_instead_is_not_looked_for_in_the_folder(folder: Path) -> None:
    save(folder)
    (folder / SAFE).rename(folder / "best.safetensors")
    check_weights([ModelSpec(f"local-dir:{folder}", checkpoint=folder / "best.safetensors")])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}"])
def test_a_damaged_configuration_is_named(folder: Path, content: bytes) -> None:
    save(folder)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"flowers.config\.json' cannot be read as JSON: ."):
        load_model(f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"architecture": ..., "architectures": ["ResNetForImageClassification"]},
            "names 'ResNetForImageClassification', which timm does not have",
        ),
        ({"architecture": "keras_net"}, "names 'keras_net', which timm does not have"),
        ({"architecture": ["a", "b"]}, "names 'a', 'b', which timm does not have"),
        ({"architecture": ...}, "names no architecture"),
    ],
)
def test_models_of_other_libraries_are_distinguished_from_timms(
    folder: Path, changes: dict[str, Any], named: str
) -> None:
    save(folder)
    change(folder, **changes)
    with pytest.raises(
        ModelError,
        match=rf"^local-dir:.*flowers is no timm model: its config\.json {named}\. Load it with "
        "the library that it was made for, and give effcam the module$",
    ):
        load_model(f"local-dir:{folder}")


def test_a_configuration_that_is_not_an_object(folder: Path) -> None:
    save(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(ModelError, match=r"is no timm model: its config\.json names no arch"):
        load_model(f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pretrained_cfg": [1]}, r"^pretrained_cfg in '.*json' must be an object, not \[1\]$"),
        ({"model_args": "x"}, r"^model_args in '.*json' must be an object, not 'x'$"),
        ({"num_classes": "three"}, r"^num_classes in '.*json' must be a number, not 'three'$"),
        (
            {"pretrained_cfg": {"input_size": [160, 160]}},
            r"^input_size in '.*' must be \[channels, height, width\], not \[160, 160\]$",
        ),
        ({"pretrained_cfg": {"input_size": "big"}}, "^input_size in .* not 'big'$"),
        ({"pretrained_cfg": {"input_size": ["a", "b", "c"]}}, "^input_size in "),
    ],
)
def test_settings_of_the_wrong_kind_are_named(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    save(folder)
    change(folder, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(f"local-dir:{folder}")


def test_the_arguments_say_the_number_of_classes_where_the_record_contradicts(folder: Path) -> None:
    # timm would put a random head on the weights.
    saved = save(folder)
    change(folder, num_classes=5, model_args={"num_classes": 3})
    assert_same(find_architecture(f"local-dir:{folder}").build(pretrained=True, options={}), saved)


@pytest.mark.parametrize("classes", [5, ...])
def test_weights_of_another_number_of_classes_are_refused(folder: Path, classes: object) -> None:
    save(folder)
    change(folder, num_classes=classes, model_args=..., pretrained_cfg={})
    with pytest.raises(
        WeightsError,
        match=rf"cannot be loaded from .*{SAFE}, so the file may be damaged or not fit its "
        r"config\.json \(.*fc\.weight.*\[3, 96\].*\)$",
    ):
        load_model(f"local-dir:{folder}")


@pytest.mark.parametrize(("safe", "file"), [(True, SAFE), (False, PICKLED)])
@pytest.mark.parametrize("length", [0, 1000])
def test_damaged_weights_are_named(folder: Path, safe: bool, file: str, length: int) -> None:
    save(folder, safe=safe)
    (folder / file).write_bytes((folder / file).read_bytes()[:length])
    with pytest.raises(
        WeightsError, match=rf"the weights of local-dir:.* cannot be loaded from .*{file}, so"
    ) as caught:
        load_model(f"local-dir:{folder}")
    # Only downloaded files can be downloaded again.
    assert "delete it" not in str(caught.value)


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("forced", [None, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
def test_code_in_pickled_weights_is_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, forced: str | None
) -> None:
    save(folder, safe=False)
    mark = folder / "ran"
    torch.save({"fc.weight": Tensor([1]), "more": Payload(mark)}, folder / PICKLED)
    if forced:
        monkeypatch.setenv(forced, "1")
    with pytest.raises(WeightsError, match=PICKLED):
        load_model(f"local-dir:{folder}")
    assert not mark.exists()


def test_an_architecture_that_was_added_to_timm(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from timm.models import _registry

    saved = save(folder)
    change(folder, architecture="own_net")
    with pytest.raises(ModelError, match="'own_net', which timm does not have"):
        StoredArchitecture("local-dir", str(folder)).read_config()
    entrypoint = timm.models.model_entrypoint("test_resnet")
    monkeypatch.setitem(_registry._model_entrypoints, "own_net", entrypoint)
    assert_same(load_model(f"local-dir:{folder}").module, saved)


# on the hub


def serve(hub: Host, folder: Path, repository: str, revision: str = "main") -> None:
    """Put all files of a folder on the hub."""
    for file in folder.iterdir():
        hub.files[f"/{repository}/resolve/{revision}/{file.name}"] = file.read_bytes()


def test_a_repository_is_fetched_once(hub: Host, hub_cache: Path, folder: Path) -> None:
    saved = save(folder)
    serve(hub, folder, "me/flowers")
    check_weights(["hf-hub:me/flowers"])
    model = load_model("hf-hub:me/flowers")
    assert_same(model.module, saved)
    assert (model.name, model.weights, model.labels) == (
        "hf-hub:me/flowers",
        SAFE,
        tuple(FLOWERS),
    )
    assert model.preprocess.size == (160, 160)
    assert (hub_cache / "models--me--flowers").is_dir()


@pytest.mark.parametrize("prefix", ["hf-hub", "hf_hub"])
def test_what_is_in_the_cache_needs_no_network(
    hub: Host, folder: Path, prefix: str, request: pytest.FixtureRequest
) -> None:
    save(folder)
    serve(hub, folder, "me/flowers")
    load_model("hf-hub:me/flowers")
    tried = request.getfixturevalue("no_sockets")
    check_weights([f"{prefix}:me/flowers"])
    assert load_model(f"{prefix}:me/flowers").name == "hf-hub:me/flowers"
    assert tried == []


def test_pickled_weights_are_taken_where_there_are_no_others(hub: Host, folder: Path) -> None:
    saved = save(folder, safe=False)
    serve(hub, folder, "me/flowers")
    model = load_model("hf-hub:me/flowers")
    assert_same(model.module, saved)
    assert model.weights == PICKLED


def test_each_revision_is_another_model(hub: Host, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    main, second = save(folder), save(other, num_classes=2)
    serve(hub, folder, "me/flowers")
    serve(hub, other, "me/flowers", revision="v2")
    hub.commits["v2"] = "2" * 40
    for _ in range(2):
        assert_same(load_model("hf-hub:me/flowers").module, main)
        model = load_model("hf-hub:me/flowers@v2")
        assert_same(model.module, second)
        assert (model.name, model.num_classes) == ("hf-hub:me/flowers@v2", 2)
    with pytest.raises(WeightsError, match=r"hf-hub:me/flowers@v3 could not be fetched"):
        load_model("hf-hub:me/flowers@v3")


def test_untrained_it_takes_the_configuration_alone(hub: Host, folder: Path) -> None:
    save(folder)
    serve(hub, folder, "me/flowers")
    model = load_model("hf-hub:me/flowers", pretrained=False)
    assert (model.weights, model.labels) == ("random", tuple(FLOWERS))
    assert not any(SAFE in path for path in hub.asked)


def test_a_repository_without_a_configuration(hub: Host, folder: Path) -> None:
    save(folder)
    (folder / "config.json").unlink()
    serve(hub, folder, "me/flowers")
    with pytest.raises(
        WeightsError,
        match=r"^the configuration files of hf-hub:me/flowers could not be fetched from "
        rf"{hub.address}/me/flowers: 404 .* Go online once .*\(local-dir:FOLDER\)\.$",
    ):
        load_model("hf-hub:me/flowers")


def test_a_repository_of_another_library(hub: Host) -> None:
    content = json.dumps({"architectures": ["ResNetForImageClassification"]}).encode()
    hub.files["/me/flowers/resolve/main/config.json"] = content
    with pytest.raises(ModelError, match=r"^hf-hub:me/flowers is no timm model: .*'ResNetFor"):
        load_model("hf-hub:me/flowers")


def test_weights_that_would_take_all_memory_are_not_opened(folder: Path) -> None:
    save(folder)
    (folder / SAFE).unlink()
    # bytearray(0x7f000000), which torch allows.
    swollen = b"\x80\x02c__builtin__\nbytearray\nJ\x00\x00\x00\x7f\x85R."
    (folder / "pytorch_model.bin").write_bytes(swollen)
    with pytest.raises(WeightsError, match="it may take any amount of memory"):
        load_model(f"local-dir:{folder}")


def test_damaged_weights_on_the_hub_can_be_fetched_again(hub: Host, folder: Path) -> None:
    save(folder)
    (folder / SAFE).write_bytes(b"")
    serve(hub, folder, "me/flowers")
    with pytest.raises(WeightsError, match=rf"loaded from .*{SAFE}, so .*delete it to fetch it"):
        load_model("hf-hub:me/flowers")


def test_without_network_the_error_is_immediate(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's client would retry for a minute.
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(
        WeightsError,
        match=r"^these weights are not on this machine and huggingface\.co \(.*\) cannot be "
        r"reached: timm:test_resnet.* hf-hub:me/flowers@v2 \(https://huggingface\.co/me/flowers\)",
    ):
        check_weights(["test_resnet", "hf-hub:me/flowers@v2"])
    for trained in (True, False):
        with pytest.raises(
            WeightsError,
            match=r"^these configuration files are not on this machine and .*: hf-hub:me/flowers "
            r"\(https.*\)\. Go online once .*, or give a folder .* \(local-dir:FOLDER\)\.$",
        ):
            load_model("hf-hub:me/flowers", pretrained=trained)
    assert not hub_cache.exists()


@pytest.mark.parametrize("name", ["hf-hub:a/b/c", "hf-hub:@v2", "hf-hub:../flowers", "hf-hub:a b"])
def test_invalid_repositories_are_refused(name: str) -> None:
    message = rf"^no model is called '{name}': expected hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REV"
    for ask in (load_model, lambda name: check_weights([name])):
        with pytest.raises(UnknownModelError, match=message):
            ask(name)


@pytest.mark.parametrize("name", ["local-dir:", "hf-hub:"])
def test_a_place_must_be_given(name: str) -> None:
    with pytest.raises(UnknownModelError, match="'hf-hub:', 'local-dir:' or none of these"):
        find_architecture(name)


def test_a_stored_model_without_a_classifier_returns_an_embedding(tmp_path: Path) -> None:
    save(tmp_path / "features", num_classes=0)
    name = f"local-dir:{tmp_path / 'features'}"
    assert load_model(name).scores.outputs == "embedding"
    labels = [f"feature {index}" for index in range(96)]
    assert load_model(name, labels=labels).num_classes == 96
