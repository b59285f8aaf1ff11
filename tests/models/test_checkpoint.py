"""A user's own weights: unwrapped, refused with code, and loaded completely or not at all."""

from __future__ import annotations

import argparse
import collections
import enum
import json
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torchvision.models import get_model

from effcam.errors import WeightsError
from effcam.models.checkpoint import WRAPPERS, read_checkpoint
from effcam.models.state_dict import count_classes, fit, select


def network(seed: int = 0, classes: int = 10) -> nn.Module:
    """Return a small network with all kinds of state: weights, statistics, a counter."""
    torch.manual_seed(seed)
    return nn.Sequential(
        collections.OrderedDict(
            body=nn.Conv2d(3, 8, 3),
            norm=nn.BatchNorm2d(8),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=nn.Linear(8, classes),
        )
    )


STATE = network(seed=1).state_dict()
OTHER = network(seed=2).state_dict()


def assert_same(state: dict[str, Tensor], expected: dict[str, Tensor] = STATE) -> None:
    assert set(state) == set(expected)
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def saved(path: Path, content: object, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors in a checkpoint."""
    return read_checkpoint(path).state


def prefixed(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


# reading


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_file(STATE, path)
    assert_same(read_state(path))
    assert_same(read_state(str(path)))


@pytest.mark.parametrize("name", ["best.pt", "best.pth", "model_best.pth.tar", "weights.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_plain_state_dict(tmp_path: Path, name: str, zipped: bool) -> None:
    path = saved(tmp_path / name, STATE, _use_new_zipfile_serialization=zipped)
    assert_same(read_state(path))


def test_a_file_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path / "best.pt", STATE)
    assert_same(read_state("~/best.pt"))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_state_dict_under_each_usual_name(tmp_path: Path, wrapper: str) -> None:
    optimizer = torch.optim.SGD(network().parameters(), lr=0.1, momentum=0.9)
    content = {
        "epoch": 7,
        "best": torch.tensor(0.93),
        "optimizer": optimizer.state_dict(),
        wrapper: STATE,
    }
    assert_same(read_state(saved(tmp_path / "best.pt", content)))


def test_the_usual_names_are_complete() -> None:
    assert {"state_dict", "model", "model_state", "ema", "state_dict_ema"} <= set(WRAPPERS)


@pytest.mark.parametrize("averaged", ["ema", "state_dict_ema", "model_ema", "ema_state_dict"])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state"])
def test_averaged_weights_are_preferred(tmp_path: Path, averaged: str, wrapper: str) -> None:
    for content in ({averaged: STATE, wrapper: OTHER}, {wrapper: OTHER, averaged: STATE}):
        assert_same(read_state(saved(tmp_path / "best.pt", content)))


@pytest.mark.parametrize("nothing", [None, {}, {"decay": 0.999}, 0.999])
def test_averaged_weights_that_hold_nothing_are_passed_over(
    tmp_path: Path, nothing: object
) -> None:
    content = {"ema": nothing, "state_dict": STATE}
    assert_same(read_state(saved(tmp_path / "best.pt", content)))


def test_a_wrapper_in_a_wrapper(tmp_path: Path) -> None:
    content = {"model": {"epoch": 3, "state_dict": {"module": prefixed("module.")}}}
    assert_same(read_state(saved(tmp_path / "best.pt", content)))


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_prefixes_of_parallel_and_compiled_models(tmp_path: Path, prefix: str) -> None:
    assert_same(read_state(saved(tmp_path / "best.pt", prefixed(prefix))))
    path = tmp_path / "best.safetensors"
    save_file(prefixed(prefix), path)
    assert_same(read_state(path))


def test_a_prefix_that_only_some_names_have_is_a_name(tmp_path: Path) -> None:
    state = {"module.weight": torch.ones(2), "head.weight": torch.ones(3)}
    assert_same(read_state(saved(tmp_path / "best.pt", state)), state)


@pytest.mark.slow
def test_wrappers_of_torch(tmp_path: Path) -> None:
    averaged = AveragedModel(network(seed=1))
    assert "n_averaged" in averaged.state_dict()
    assert_same(read_state(saved(tmp_path / "swa.pt", averaged.state_dict())))
    parallel = nn.DataParallel(network(seed=1))
    assert_same(read_state(saved(tmp_path / "dp.pt", {"model": parallel.state_dict()})))
    compiled = torch.compile(network(seed=1))
    assert_same(read_state(saved(tmp_path / "c.pt", compiled.state_dict())))  # type: ignore[attr-defined]


def test_the_arguments_that_timms_training_script_keeps_do_no_harm(tmp_path: Path) -> None:
    content = {"arch": "x", "args": argparse.Namespace(lr=0.1), "state_dict": STATE}
    assert_same(read_state(saved(tmp_path / "model_best.pth.tar", content)))
    # It is allowed only while the file is read.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model_best.pth.tar", weights_only=True)


def test_tensors_come_to_the_cpu_as_they_are(tmp_path: Path) -> None:
    halved = {name: value.half() for name, value in STATE.items()}
    state = read_state(saved(tmp_path / "half.pt", halved))
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert {value.device.type for value in state.values()} == {"cpu"}


# refused files


class Payload:
    """A function that unpickling would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_the_payload_runs_under_plain_unpickling(tmp_path: Path) -> None:
    path = saved(tmp_path / "evil.pt", {"state_dict": STATE, "epoch": Payload(tmp_path / "ran")})
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["evil.pt", "evil.pth", "evil.bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_run(tmp_path: Path, name: str, zipped: bool) -> None:
    content = {"state_dict": STATE, "epoch": Payload(tmp_path / "ran")}
    path = saved(tmp_path / name, content, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    assert re.fullmatch(
        rf"checkpoint '{path}' holds more than tensors \(\w+\.system\) and was not opened, because "
        r"such a file can run code\. Save the weights alone: torch\.save\(model\.state_dict\(\), "
        r"path\), or safetensors\.torch\.save_file",
        str(caught.value),
    )
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"state_dict": Payload(tmp_path / "ran")}, protocol=2))
    with pytest.raises(WeightsError, match=r"evil\.pkl'"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", {"model": network()})
    with pytest.raises(WeightsError, match=r"holds more than tensors \(torch\.nn\..*Sequential\)"):
        read_checkpoint(path)


def test_a_torchscript_archive_is_refused_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "scripted.pt"
    with warnings.catch_warnings(action="ignore"):  # tracing and torch.jit are deprecated
        torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    with pytest.raises(WeightsError, match=r"holds more than tensors \(TorchScript\)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n",
        b"<!DOCTYPE html><html>Sign in</html>",
        b"\0" * 500,
        pickle.dumps({"epoch": 3}),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best.pt"
    path.write_bytes(content)
    with pytest.raises(
        WeightsError, match=rf"'{path}' cannot be read: it is damaged, or was not written by torch"
    ):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["best.pt", "best.safetensors"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    with pytest.raises(WeightsError, match=rf"checkpoint '{path}' cannot be read: \w+"):
        read_checkpoint(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_cut_anywhere(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("best.safetensors" if kind == "safetensors" else "best.pt")
    if kind == "safetensors":
        save_file(STATE, path)
    else:
        saved(path, STATE, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    for share in (0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(WeightsError, match=rf"^checkpoint '{path}' (cannot|holds more)"):
            read_checkpoint(path)


@pytest.mark.parametrize("name", ["best.pt", "best.safetensors"])
def test_a_missing_file_and_a_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(WeightsError, match=rf"^checkpoint '{path}' does not exist$"):
        read_checkpoint(path)
    path.mkdir()
    with pytest.raises(WeightsError, match=rf"^checkpoint '{path}' is a folder: expected a file$"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [{}, {"epoch": 3}, [torch.ones(2)], torch.ones(2), {0: torch.ones(2)}, {"state_dict": {}}],
)
def test_a_file_without_a_state_dict_says_what_was_expected(
    tmp_path: Path, content: object
) -> None:
    path = saved(tmp_path / "best.pt", content)
    with pytest.raises(
        WeightsError,
        match=rf"'{path}' holds no state dict: expected .*model\.state_dict.*under one of .*ema",
    ):
        read_checkpoint(path)


def test_a_file_without_a_state_dict_says_what_it_holds(tmp_path: Path) -> None:
    path = saved(tmp_path / "best.pt", {"student": STATE, "teacher": OTHER, "epoch": 1, "lr": 2})
    with pytest.raises(WeightsError, match=r"it holds 'student', 'teacher', 'epoch'$"):
        read_checkpoint(path)
    with pytest.raises(WeightsError, match=r"it holds a list$"):
        read_checkpoint(saved(tmp_path / "list.pt", [STATE]))


# objects beside the weights


class Settings:
    """A class of another package; creating an object runs its code."""

    made = 0

    def __init__(self, **settings: object) -> None:
        vars(self).update(settings)

    def __setstate__(self, state: dict[str, object]) -> None:
        type(self).made += 1
        vars(self).update(state)


class Kind(enum.Enum):
    FIRST = 1


@pytest.fixture(autouse=True)
def nothing_is_made() -> Iterator[None]:
    Settings.made = 0
    yield
    Settings.made = 0


def lightning(**settings: object) -> dict[str, object]:
    """Return a checkpoint of Lightning's trainer for a module with its network as ``model``."""
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": prefixed("model.") | {"loss.weight": torch.ones(10)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_path": Path("best.ckpt")}},
        "optimizer_states": [torch.optim.Adam(network().parameters()).state_dict()],
        "hparams_name": "kwargs",
        "hyper_parameters": settings,
    }


def test_the_file_runs_code_under_plain_unpickling(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", lightning(settings=Settings(lr=0.1)))
    torch.load(path, weights_only=False)
    assert Settings.made == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"root": Path("/data"), "settings": Settings(lr=0.1, root=Path("/data"))},
        {"kind": Kind.FIRST, "weights": {Kind.FIRST: 2.0}},
        {"loss": nn.CrossEntropyLoss(), "act": nn.ReLU, "run": os.path.join},
        {"best": np.float64(0.93), "names": np.array(["ant", "bee"])},
    ],
)
def test_objects_beside_the_weights_are_left(tmp_path: Path, settings: dict[str, Any]) -> None:
    path = saved(tmp_path / "last.ckpt", lightning(**settings))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    state = read_state(path)
    assert_same(select(state, network()))
    assert Settings.made == 0
    # Placeholders are allowed only while the file is read.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_labels_are_found_among_objects_that_are_left(tmp_path: Path) -> None:
    names = {"bee": 1, "ant": 0}
    content = lightning(settings=Settings(lr=0.1), class_to_idx=names)
    assert read_checkpoint(saved(tmp_path / "last.ckpt", content)).labels == ("ant", "bee")
    content = {"state_dict": STATE, "hparams": Settings(class_names=["ant", "bee"])}
    assert read_checkpoint(saved(tmp_path / "last.ckpt", content)).labels == ("ant", "bee")
    assert Settings.made == 0


def test_code_among_objects_that_are_left_is_not_run(tmp_path: Path) -> None:
    content = lightning(settings=Settings(lr=0.1), payload=Payload(tmp_path / "ran"))
    with pytest.raises(WeightsError, match=r"holds more than tensors .* such a file can run code"):
        read_checkpoint(saved(tmp_path / "last.ckpt", content))
    assert Settings.made == 0
    assert not (tmp_path / "ran").exists()


class Evaluated:
    """Evaluated by a builtin, which is in no list of dangerous modules."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, (f"__import__('pathlib').Path({str(self.path)!r}).touch()",)


def test_a_call_of_a_builtin_is_replaced_by_a_placeholder(tmp_path: Path) -> None:
    path = saved(tmp_path / "last.ckpt", lightning(payload=Evaluated(tmp_path / "ran")))
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    assert_same(select(read_state(path), network()))
    assert not (tmp_path / "ran").exists()


def test_tensors_of_an_object_that_is_left_are_no_state_dict(tmp_path: Path) -> None:
    path = saved(tmp_path / "whole.pt", Settings(mean=torch.zeros(3)))
    with pytest.raises(WeightsError, match=r"holds more than tensors \(.*Settings\)"):
        read_checkpoint(path)


NAMES = ("ant", "bee")


@pytest.mark.parametrize(
    "beside",
    [
        {"classes": ["ant", "bee"]},
        {"class_names": ("ant", "bee")},
        {"class_to_idx": {"bee": 1, "ant": 0}},
        {"idx_to_class": {0: "ant", 1: "bee"}},
        {"meta": {"CLASSES": ("ant", "bee")}},
        {"meta": {"dataset_meta": {"classes": ("ant", "bee")}}},
        {"args": argparse.Namespace(lr=0.1, class_names=["ant", "bee"])},
        {"hyper_parameters": {"lr": 0.1, "labels": ["ant", "bee"]}},
        {"datamodule_hyper_parameters": {"class_names": ["ant", "bee"]}},
        {"hyper_parameters": {"config": {"id2label": {"0": "ant", "1": "bee"}}}},
        {"classes": 2, "labels": torch.arange(2), "categories": ["ant", "bee"]},
    ],
)
def test_labels_are_found_where_training_scripts_keep_them(
    tmp_path: Path, beside: dict[str, Any]
) -> None:
    checkpoint = read_checkpoint(saved(tmp_path / "best.pt", {"model": STATE, **beside}))
    assert checkpoint.labels == NAMES
    assert_same(checkpoint.state)


def test_a_file_without_names_has_no_labels(tmp_path: Path) -> None:
    assert read_checkpoint(saved(tmp_path / "a.pt", STATE)).labels is None
    beside = {"classes": 10, "labels": [], "args": argparse.Namespace(labels=None), "meta": "x"}
    assert read_checkpoint(saved(tmp_path / "b.pt", {"model": STATE, **beside})).labels is None


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"1": "bee", "0": "ant"}}, NAMES),
        ({"label_names": ["ant", "bee"]}, NAMES),
        ({"architecture": "resnet18", "pretrained_cfg": {"label_names": ["ant", "bee"]}}, NAMES),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, None),
        (["ant", "bee"], None),
        ({}, None),
    ],
)
def test_labels_may_lie_in_the_config_beside_the_file(
    tmp_path: Path, config: object, labels: object
) -> None:
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert read_checkpoint(tmp_path / "model.safetensors").labels == labels


def test_the_files_own_labels_go_before_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"label_names": ["x", "y"]}', encoding="utf-8")
    content = {"model": STATE, "classes": ["ant", "bee"]}
    assert read_checkpoint(saved(tmp_path / "pytorch_model.bin", content)).labels == NAMES
    assert read_checkpoint(saved(tmp_path / "pytorch_model.bin", STATE)).labels == ("x", "y")


def test_a_config_beside_a_file_of_another_name_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"label_names": ["x", "y"]}', encoding="utf-8")
    assert read_checkpoint(saved(tmp_path / "best.pt", STATE)).labels is None


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe"])
def test_a_config_that_cannot_be_read_is_passed_over(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    assert read_checkpoint(saved(tmp_path / "pytorch_model.bin", STATE)).labels is None


# the network's part of a checkpoint


@pytest.mark.parametrize("prefix", ["model.", "net.", "module.backbone.", "a.b.c."])
def test_a_network_inside_a_training_module_is_found(prefix: str) -> None:
    beside = {
        "loss.weight": torch.ones(10),
        "metric.total": torch.tensor(3),
        "epoch": torch.ones(1),
    }
    assert_same(select(prefixed(prefix) | beside, network()))


def test_a_state_dict_of_the_network_itself_is_left_whole() -> None:
    state = STATE | {"loss.weight": torch.ones(10)}
    assert_same(select(state, network()), state)
    assert_same(select(prefixed("model."), nn.ModuleDict({"model": network()})), prefixed("model."))


def test_a_state_dict_of_something_else_is_left_whole() -> None:
    assert_same(select({"conv.kernel": torch.ones(2)}, network()), {"conv.kernel": torch.ones(2)})


def test_the_part_that_has_most_is_taken() -> None:
    auxiliary = {f"aux.{name}": OTHER[name] for name in ("head.weight", "head.bias")}
    assert_same(select(auxiliary | prefixed("model."), network()))


@pytest.mark.parametrize("averaged", ["ema.", "ema_model.", "model_ema.module.", "net.EMA."])
def test_of_two_copies_the_averaged_one_is_taken(averaged: str) -> None:
    for state in (
        prefixed(averaged) | prefixed("model.", OTHER),
        prefixed("model.", OTHER) | prefixed(averaged),
        OTHER | prefixed(averaged),
    ):
        assert_same(select(state, network()))


@pytest.mark.parametrize(
    "prefixes", [("student.", "teacher."), ("semantic.", "visual."), ("ema_a.", "ema_b.")]
)
def test_ambiguous_copies_are_refused(
    prefixes: tuple[str, str],
) -> None:
    first, second = prefixes
    message = (
        rf"holds the model's weights 2 times, under '{first[:-1]}', '{second[:-1]}': save only "
        rf"the ones you mean, as torch\.save\(trained\.{first}state_dict\(\), path\)"
    )
    with pytest.raises(WeightsError, match=message):
        select(prefixed(first) | prefixed(second, OTHER), network())


# the number of classes


HEADS: dict[str, Callable[[int], nn.Module]] = {
    "timm Linear": lambda n: timm.create_model("test_resnet", num_classes=n),
    "timm ConvNeXt": lambda n: timm.create_model("test_convnext", num_classes=n),
    "timm Conv": lambda n: timm.create_model("tinynet_e", num_classes=n),
    "torchvision Linear": lambda n: get_model("shufflenet_v2_x0_5", num_classes=n),
    "torchvision Linear in a head": lambda n: get_model("mobilenet_v3_small", num_classes=n),
    "torchvision Conv": lambda n: get_model("squeezenet1_1", num_classes=n),
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("classes", [1, 7, 1000, 1001])
def test_the_number_of_classes_is_read_off_the_head(kind: str, classes: int) -> None:
    state = HEADS[kind](classes).state_dict()
    assert count_classes(state, HEADS[kind](1000), 1000) == classes


def test_auxiliary_heads_agree_with_the_head() -> None:
    state = get_model("googlenet", num_classes=7, init_weights=False).state_dict()
    assert count_classes(state, get_model("googlenet", init_weights=False), 1000) == 7


def test_a_file_of_another_architecture_says_nothing_of_classes() -> None:
    state = get_model("squeezenet1_1").state_dict()
    assert count_classes(state, timm.create_model("test_resnet"), 1000) == 1000
    assert count_classes({}, network(), 10) == 10


def test_heads_that_contradict_each_other_say_nothing_of_classes() -> None:
    module = nn.ModuleDict({"a": nn.Linear(4, 10), "b": nn.Linear(5, 10)})
    state = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(5, 6)}).state_dict()
    assert count_classes(state, module, 10) == 10


def test_a_layer_of_another_make_says_nothing_of_classes() -> None:
    # Both have one output per class, but only the head has the same number of inputs.
    module = nn.ModuleDict({"body": nn.Linear(5, 10, bias=False), "head": nn.Linear(4, 10)})
    other = nn.ModuleDict({"body": nn.Linear(9, 6, bias=False), "head": nn.Linear(4, 3)})
    assert count_classes(other.state_dict(), module, 10) == 3


# fitting


def test_a_state_dict_that_fits_is_loaded() -> None:
    module = network()
    fit(STATE, module, file="best.pt", model="mine")
    assert_same(module.state_dict())


def test_half_precision_files_load_into_full_precision_models() -> None:
    module = network()
    halved = {name: value.half() for name, value in STATE.items()}
    fit(halved, module, file="half.pt", model="mine")
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    for name, value in module.state_dict().items():
        assert torch.equal(value.float(), halved[name].float())


@pytest.mark.parametrize("make", [network, lambda: get_model("mnasnet0_5")])
def test_batch_counters_may_be_left_out(make: Callable[[], nn.Module]) -> None:
    source, module = make(), make()
    state = {
        name: value
        for name, value in source.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    fit(state, module, file="old.pt", model="mine")
    assert_same(module.state_dict(), source.state_dict())


def test_the_file_given_is_not_changed() -> None:
    state = dict(STATE)
    fit(state, network(), file="best.pt", model="mine")
    assert list(state) == list(STATE)


def mismatch(state: dict[str, Tensor]) -> str:
    """Return the error for a state dict that does not fit; check that nothing was loaded."""
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(WeightsError, match=r"^checkpoint 'best\.pt' does not fit mine: ") as caught:
        fit(state, module, file="best.pt", model="mine")
    assert_same(module.state_dict(), before)
    return str(caught.value).partition("mine: ")[2]


def test_missing_names_are_named() -> None:
    state = {name: value for name, value in STATE.items() if name != "head.bias"}
    assert mismatch(state) == "1 missing: head.bias"


def test_unexpected_names_are_named() -> None:
    state = STATE | {"extra.weight": torch.ones(2), "extra.bias": torch.ones(2)}
    assert mismatch(state) == "2 unexpected: extra.weight, extra.bias"


def test_other_shapes_are_named_with_both() -> None:
    state = STATE | network(classes=7).state_dict()
    assert mismatch(state) == (
        "2 of another shape: head.weight (7, 8) for (10, 8), head.bias (7,) for (10,)"
    )


def test_all_kinds_are_named_at_once_the_first_few_of_each() -> None:
    renamed = prefixed("backbone.") | {"head.weight": torch.ones(1)}
    assert mismatch(renamed) == (
        "7 missing: body.weight, body.bias, norm.weight and 4 more; "
        "9 unexpected: backbone.body.weight, backbone.body.bias, backbone.norm.weight and 6 more; "
        "1 of another shape: head.weight (1,) for (10, 8)"
    )


def test_missing_counters_alone_are_no_fault_but_unexpected_ones_are() -> None:
    assert "extra.num_batches_tracked" in mismatch(
        STATE | {"extra.num_batches_tracked": torch.tensor(3)}
    )


def test_weights_of_another_type_are_named() -> None:
    quantised = {name: value.to(torch.int8) for name, value in STATE.items()}
    assert "of another type: " in mismatch(quantised)
    assert "torch.int8 for torch.float32" in mismatch(quantised)


def test_an_average_that_keeps_its_decay_alone_is_passed_over(tmp_path: Path) -> None:
    content = {"ema": {"decay": torch.tensor(0.9)}, "model": STATE}
    assert_same(read_state(saved(tmp_path / "best.pt", content)))


def test_a_config_belongs_to_weights_of_the_usual_name_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"label_names": ["a", "b"]}')
    assert read_checkpoint(saved(tmp_path / "pytorch_model.bin", STATE)).labels == ("a", "b")
    assert read_checkpoint(saved(tmp_path / "other.pt", STATE)).labels is None
