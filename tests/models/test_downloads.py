"""Published weights: found in the caches, downloaded, or all named in one error."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model

from effcam.errors import ModelError, WeightsError
from effcam.models import downloads
from effcam.models.downloads import PublishedWeights, require
from effcam.models.lookup import find_architecture

if TYPE_CHECKING:
    from tests.conftest import Host

TINY = "test_resnet.r160_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WAYS_ON = ("Go online once", "--checkpoint NAME=FILE", "--weights none")


def on_hub(name: str = TINY) -> PublishedWeights:
    return PublishedWeights(f"timm:{name}", f"timm/{name}", ("model.safetensors", "model.bin"))


def put_on_hub_cache(cache: Path, name: str, save: Callable[[Path], object], file: str) -> Path:
    """Save a file where the hub's client keeps the repository ``timm/name``."""
    repository = cache / f"models--timm--{name}"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    save(snapshot / file)
    return snapshot / file


def drawn(module: nn.Module, seed: int = 1) -> dict[str, Tensor]:
    """Return a state dict for the module with random values of its own."""
    generator = torch.Generator().manual_seed(seed)
    state = module.state_dict()  # with its version, which MNASNet needs
    for name, value in state.items():
        if value.is_floating_point():
            state[name] = torch.rand(value.shape, generator=generator)
    return state


def assert_holds(module: nn.Module, state: dict[str, Tensor]) -> None:
    held = module.state_dict()
    assert set(held) == set(state)
    for name, value in state.items():
        assert torch.equal(held[name], value), name


# from the caches, through build


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_timm_weights_are_loaded_from_the_hubs_cache(
    hub_cache: Path, no_sockets: list[Any], file: str
) -> None:
    state = drawn(timm.create_model("test_resnet"))
    save = save_file if file.endswith("safetensors") else torch.save
    path = put_on_hub_cache(hub_cache, TINY, lambda path: save(state, path), file)
    architecture = find_architecture(TINY)
    published = architecture.published()
    assert published is not None
    assert published.find() == path
    assert published.fetch() == path
    require([published])
    assert_holds(architecture.build(pretrained=True, options={}), state)
    assert no_sockets == []


def test_the_weights_of_one_tag_are_not_anothers(hub_cache: Path) -> None:
    put_on_hub_cache(hub_cache, "resnet18.a1_in1k", Path.touch, "model.safetensors")
    found = {
        tag: find_architecture(f"resnet18.{tag}").published().find()  # type: ignore[union-attr]
        for tag in ("a1_in1k", "a2_in1k")
    }
    assert found["a1_in1k"] is not None
    assert found["a2_in1k"] is None


def put_in_torch_cache(cache: Path, name: str, state: dict[str, Tensor]) -> Path:
    published = find_architecture(name).published()
    assert published is not None
    path = cache / published.url.rpartition("/")[2]
    torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["squeezenet1_1", "mnasnet0_5.IMAGENET1K_V1"])
def test_torchvision_weights_are_loaded_from_torchs_cache(
    torch_cache: Path, no_sockets: list[Any], name: str
) -> None:
    architecture = find_architecture(name)
    state = drawn(get_model(architecture.name, weights=None))
    path = put_in_torch_cache(torch_cache, name, state)
    published = architecture.published()
    assert published is not None
    assert published.find() == path
    assert_holds(architecture.build(pretrained=True, options={}), state)
    assert no_sockets == []


def test_densenets_old_keys_are_renamed_as_torchvision_does(torch_cache: Path) -> None:
    # The published files still have the names of 2017: denselayer1.norm.1 for denselayer1.norm1.
    name = "torchvision:densenet121.IMAGENET1K_V1"
    state = drawn(get_model("densenet121", weights=None))
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    put_in_torch_cache(torch_cache, name, old)
    assert_holds(find_architecture(name).build(pretrained=True, options={}), state)


def test_googlenet_takes_its_input_as_its_weights_were_trained(torch_cache: Path) -> None:
    module = get_model("googlenet", weights=None, init_weights=False)
    put_in_torch_cache(torch_cache, "googlenet", drawn(module))
    built: Any = find_architecture("googlenet").build(pretrained=True, options={})
    assert built.transform_input is True
    assert torch.equal(built.fc.weight, drawn(module)["fc.weight"])
    assert isinstance(built.eval()(torch.zeros(1, 3, 64, 64)), Tensor)


def test_options_and_weights_go_together(hub_cache: Path) -> None:
    state = drawn(timm.create_model("test_resnet"))
    put_on_hub_cache(hub_cache, TINY, lambda path: save_file(state, path), "model.safetensors")
    options = {"drop_rate": 0.25, "num_classes": 1000}
    module: Any = find_architecture(TINY).build(pretrained=True, options=options)
    assert_holds(module, state)
    assert module.drop_rate == 0.25


@pytest.mark.parametrize("name", [TINY, "squeezenet1_1"])
def test_published_weights_get_no_random_head(name: str, no_sockets: list[Any]) -> None:
    architecture = find_architecture(name)
    with pytest.raises(
        ModelError,
        match=rf"weights of {architecture} are for 1000 classes, not num_classes=5.*checkpoint",
    ):
        architecture.build(pretrained=True, options={"num_classes": 5})
    assert no_sockets == []


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
@pytest.mark.parametrize("name", [TINY, "squeezenet1_1"])
def test_a_damaged_file_in_a_cache_is_named(
    hub_cache: Path, torch_cache: Path, name: str, damage: str
) -> None:
    module = timm.create_model("test_resnet" if damage != "other" else "test_efficientnet")
    if name == TINY:
        path = put_on_hub_cache(
            hub_cache, TINY, lambda path: save_file(drawn(module), path), "model.safetensors"
        )
    else:
        path = put_in_torch_cache(torch_cache, name, drawn(module))
    if damage != "other":
        path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"")
    message = rf"weights of .*{name}.* cannot be loaded from {path}.*delete it"
    with pytest.raises(WeightsError, match=message) as caught:
        find_architecture(name).build(pretrained=True, options={})
    assert caught.value.__cause__ is not None


def test_weights_that_do_not_go_with_the_options_are_named_with_them(hub_cache: Path) -> None:
    name = "pit_ti_224"
    architecture, size = find_architecture(name), {"img_size": 96}
    state = timm.create_model(name).state_dict()
    put_on_hub_cache(
        hub_cache,
        f"{name}.{architecture.weights}",
        lambda path: torch.save(state, path),
        "pytorch_model.bin",
    )
    with pytest.raises(
        WeightsError, match=r"cannot be loaded with {'img_size': 96} from .*: size mismatch for "
    ):
        architecture.build(pretrained=True, options=size)


def test_bad_options_are_not_blamed_on_the_weights(hub_cache: Path) -> None:
    state = drawn(timm.create_model("test_resnet"))
    put_on_hub_cache(hub_cache, TINY, lambda path: save_file(state, path), "model.safetensors")
    with pytest.raises(ModelError, match=r"cannot be built with {'colour': 1}"):
        find_architecture(TINY).build(pretrained=True, options={"colour": 1})


def test_an_architecture_without_weights_is_built_without() -> None:
    architecture = find_architecture("test_mambaout")
    assert architecture.published() is None
    assert architecture.build(pretrained=True, options={}).get_parameter("head.fc.weight").any()


# download of plain files


def plain(host: Host, name: str, data: bytes | None) -> PublishedWeights:
    if data is not None:
        host.files[f"/models/{name}"] = data
    return PublishedWeights("own:model", url=f"{host.address}/models/{name}")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


@pytest.mark.parametrize("name", ["net-HASH.pth", "net.pth", "net-300e.pth.tar"])
def test_a_plain_file_is_fetched_once_into_torchs_cache(
    host: Host, torch_cache: Path, name: str
) -> None:
    data = b"weights" * 99
    wanted = plain(host, name.replace("HASH", digest(data)), data)
    assert wanted.find() is None
    path = wanted.fetch()
    assert path.parent == torch_cache
    assert path.read_bytes() == data
    asked = len(host.asked)
    assert wanted.find() == wanted.fetch() == path
    require([wanted])
    assert len(host.asked) == asked


def test_the_cache_folder_is_made(host: Host, torch_cache: Path) -> None:
    torch_cache.rmdir()
    assert plain(host, "net.pth", b"x").fetch().parent == torch_cache


def test_a_file_of_another_hash_is_not_kept(host: Host, torch_cache: Path) -> None:
    wanted = plain(host, "net-0123abcd.pth", b"something else")
    with pytest.raises(WeightsError, match=r"of own:model could not be .*invalid hash.*0123abcd"):
        wanted.fetch()
    assert list(torch_cache.iterdir()) == []


def test_a_file_that_is_not_there(host: Host, torch_cache: Path) -> None:
    wanted = plain(host, "net.pth", None)
    with pytest.raises(WeightsError) as caught:
        wanted.fetch()
    message = str(caught.value)
    assert message.startswith(
        f"the weights of own:model could not be fetched from {wanted.url}: HTTP Error 404"
    )
    assert all(way in message for way in WAYS_ON)
    assert isinstance(caught.value.__cause__, urllib.error.HTTPError)
    assert list(torch_cache.iterdir()) == []


# download from the hub


def test_weights_are_fetched_from_the_hub_through_build(hub: Host, hub_cache: Path) -> None:
    state = drawn(timm.create_model("test_resnet"))
    folder = hub_cache.parent
    save_file(state, folder / "served")
    hub.files[f"/timm/{TINY}/resolve/main/model.safetensors"] = (folder / "served").read_bytes()
    assert_holds(find_architecture(TINY).build(pretrained=True, options={}), state)
    published = find_architecture(TINY).published()
    assert published is not None
    path = published.find()
    assert path is not None
    assert path.is_relative_to(hub_cache)
    asked = len(hub.asked)
    find_architecture(TINY).build(pretrained=True, options={})
    assert len(hub.asked) == asked


def test_the_second_name_is_tried_where_the_hub_lacks_the_first(hub: Host) -> None:
    hub.files[f"/timm/{TINY}/resolve/main/model.bin"] = b"weights"
    wanted = on_hub()
    path = wanted.fetch()
    assert (path.name, path.read_bytes()) == ("model.bin", b"weights")
    assert wanted.find() == path


def test_a_repository_without_weights(hub: Host) -> None:
    with pytest.raises(WeightsError) as caught:
        on_hub().fetch()
    message = str(caught.value)
    assert message.startswith(
        f"the weights of timm:{TINY} could not be fetched from {hub.address}/timm/{TINY}: "
    )
    assert "404" in message
    assert all(way in message for way in WAYS_ON)


def test_a_hub_that_falls_silent_is_not_asked_for_a_second_name(
    hub: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def fall_silent(_: str, file: str, **__: object) -> str:
        asked.append(file)
        raise LocalEntryNotFoundError("the connection broke\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fall_silent)
    with pytest.raises(WeightsError, match=r"fetched from .*: the connection broke\. Go online"):
        on_hub().fetch()
    assert asked == ["model.safetensors"]
    assert hub.asked


@pytest.mark.parametrize("error", [ArithmeticError(), RuntimeError("broke.")])
def test_whatever_a_client_raises_is_a_weights_error(
    hub: Host, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(WeightsError, match=r": (ArithmeticError|broke)\. Go online") as caught:
        on_hub().fetch()
    assert caught.value.__cause__ is error
    assert hub.asked


# no answer


def published(*names: str) -> list[PublishedWeights]:
    found = [find_architecture(name).published() for name in names]
    return [each for each in found if each is not None]


FIVE = ("alexnet", "torchvision:densenet121", "vgg16.tv_in1k", TINY, "gcvit_xxtiny")


def test_no_network_is_one_error_that_names_all_and_the_ways_on(
    hub_cache: Path, torch_cache: Path
) -> None:
    with pytest.raises(WeightsError) as caught:
        require(published(*FIVE))
    message = str(caught.value)
    assert message.startswith("these weights are not on this machine and download.pytorch.org (")
    for part in (
        "torchvision:alexnet.IMAGENET1K_V1 (https://download.pytorch.org/models/alexnet-owt-",
        "torchvision:densenet121.IMAGENET1K_V1 (https://download.pytorch.org/models/densenet121-",
        "timm:vgg16.tv_in1k (https://huggingface.co/timm/vgg16.tv_in1k)",
        f"timm:{TINY} (https://huggingface.co/timm/{TINY})",
        "timm:gcvit_xxtiny.in1k (https://github.com/",
        " and huggingface.co (",
        "a test tried to reach",  # the reason, as conftest.py gives it
        *WAYS_ON,
    ):
        assert part in message
    assert not hub_cache.exists()
    assert list(torch_cache.iterdir()) == []


@pytest.mark.usefixtures("hub_cache", "torch_cache")
def test_each_host_is_asked_once_for_all_and_only_if_something_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def refuse(request: urllib.request.Request, **_: object) -> None:
        asked.append((request.get_method(), request.full_url))
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(WeightsError, match=r"huggingface\.co \(no route\) cannot be reached"):
        require(published(*FIVE))
    assert sorted(asked) == [
        ("HEAD", "https://download.pytorch.org"),
        ("HEAD", "https://github.com"),
        ("HEAD", "https://huggingface.co"),
    ]
    require([])
    assert len(asked) == 3


def test_what_is_on_disk_is_not_missed(
    hub_cache: Path, torch_cache: Path, no_sockets: list[Any]
) -> None:
    put_on_hub_cache(hub_cache, TINY, Path.touch, "model.safetensors")
    (torch_cache / "alexnet-owt-7be5be79.pth").touch()
    require(published(TINY, "alexnet"))
    assert no_sockets == []
    with pytest.raises(WeightsError) as caught:
        require(published(TINY, "alexnet", "torchvision:vgg11"))
    assert "vgg11" in str(caught.value)
    assert "alexnet" not in str(caught.value)
    assert "huggingface" not in str(caught.value)


@pytest.mark.usefixtures("torch_cache")
def test_only_what_a_silent_host_has_is_missed(hub: Host) -> None:
    with pytest.raises(WeightsError) as caught:
        require([on_hub(), *published("alexnet")])
    assert "alexnet" in str(caught.value)
    assert TINY not in str(caught.value)
    assert hub.asked == ["HEAD /"]


def test_other_files_than_weights_say_what_they_are_and_what_to_do(
    hub: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = replace(on_hub(), kind="configuration files", remedy="Look into a folder.")
    with pytest.raises(
        WeightsError, match=rf"^the configuration files of timm:{TINY} .*\. Look into a folder\.$"
    ):
        wanted.fetch()
    asked = len(hub.asked)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        WeightsError, match=r"^these configuration files are not on .*\. Look into a folder\.$"
    ):
        require([wanted])
    assert len(hub.asked) == asked


@pytest.mark.parametrize("name", ["timm/resnet50.a1_in1k", "resnet50"])
def test_names_of_repositories(name: str) -> None:
    assert downloads.is_repository(name)


@pytest.mark.parametrize("name", ["", "a/b/c", "../x", "a b", "timm/"])
def test_invalid_names_of_repositories(name: str) -> None:
    assert not downloads.is_repository(name)


def test_a_build_without_network_gives_the_same_message(hub_cache: Path) -> None:
    with pytest.raises(WeightsError, match=rf"timm:{TINY} \(https://huggingface\.co/timm/{TINY}"):
        find_architecture(TINY).build(pretrained=True, options={})
    assert not hub_cache.exists()


def test_a_hub_switched_off_is_not_asked(hub: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"\(HF_HUB_OFFLINE is set\) cannot be reached"):
        require([on_hub()])
    assert hub.asked == []


def test_a_hub_switched_off_is_no_reason_not_to_fetch_elsewhere(
    host: Host, torch_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert plain(host, "net.pth", b"x").fetch().parent == torch_cache


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_error_page_is_an_answer(hub: Host, status: int) -> None:
    hub.status = status
    require([on_hub()])
    assert len(hub.asked) == 1


def test_an_unknown_certificate_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def distrust(*_: object, **__: object) -> None:
        raise urllib.error.URLError(ssl.SSLCertVerificationError("unknown issuer"))

    monkeypatch.setattr(urllib.request, "urlopen", distrust)
    require([on_hub("no-such-model")])


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a host that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("torch_cache")
def test_a_host_that_accepts_and_never_answers(mute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    wanted = PublishedWeights("own:model", url=f"{mute}/net.pth")
    with pytest.raises(WeightsError, match=r"\((timed out|no answer within 0\.2 s)\) cannot be"):
        wanted.fetch()


@pytest.mark.usefixtures("torch_cache")
def test_a_name_whose_lookup_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_: object, **__: object) -> None:
        release.wait()
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.1)
    hosts = [PublishedWeights(name, url=f"http://{name}.invalid/{name}.pth") for name in "abc"]
    try:
        with pytest.raises(WeightsError) as caught:
            require(hosts)
    finally:
        release.set()
    assert "c.invalid (no answer within 0.1 s) cannot be reached: a (" in str(caught.value)


@pytest.mark.usefixtures("torch_cache")
def test_a_host_that_talks_gibberish() -> None:
    def talk(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"gibberish\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=talk, args=(server,))
        thread.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(WeightsError, match=r"\(gibberish\) cannot be reached"):
            require([PublishedWeights("own:model", url=f"{address}/net.pth")])
        thread.join()


def test_an_invalid_address_of_the_hub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_hub_address", lambda: "my-mirror")
    with pytest.raises(WeightsError, match=r"and my-mirror \(unknown url type: 'my-mirror'\)"):
        require([on_hub("no-such-model")])


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("forced", [None, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
@pytest.mark.parametrize("name", [TINY, "torchvision:squeezenet1_1"])
def test_published_files_cannot_run_code_either(
    hub_cache: Path,
    torch_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    forced: str | None,
) -> None:
    mark = torch_cache / "ran"
    architecture = find_architecture(name)
    if architecture.library == "timm":
        put_on_hub_cache(
            hub_cache, name, lambda path: torch.save(Payload(mark), path), "pytorch_model.bin"
        )
    else:
        published = architecture.published()
        assert published is not None
        torch.save(Payload(mark), torch_cache / Path(published.url).name)
    if forced:
        monkeypatch.setenv(forced, "1")
    with pytest.raises(WeightsError, match=architecture.name):
        architecture.build(pretrained=True, options={})
    assert not mark.exists()
    assert os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD") is None
    assert forced is None or os.environ[forced] == "1"
