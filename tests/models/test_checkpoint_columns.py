"""Checkpoints as columns: which files, in which order, under which labels, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import effcam
from effcam import ModelSpec
from effcam.errors import ArgumentError, EffcamWarning, UnknownModelError, WeightsError
from tests.nets import ConvNet

SPEC = ModelSpec("mine", constructor=ConvNet)
STATE = {"weight": torch.ones(2)}


def write(folder: Path, **files: dict[str, Any]) -> Path:
    """Write checkpoints by name, ``__`` for a slash."""
    for name, content in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": STATE, **content}, file)
    return folder


def labels(files: Any, **options: Any) -> list[str]:
    return list(effcam.checkpoints(files, SPEC, **options))


def test_columns_are_in_the_order_of_epochs_and_keep_all_of_the_spec(tmp_path: Path) -> None:
    names = {f"e{n}.ckpt": {"epoch": n, "global_step": 10 * n} for n in (10, 9, 2)}
    write(tmp_path, **names)
    spec = ModelSpec("mine", constructor=ConvNet, labels=["a", "b"], options={"classes": 2})
    found = effcam.checkpoints(tmp_path / "*.ckpt", spec)
    assert list(found) == ["epoch 2", "epoch 9", "epoch 10"]
    last = found["epoch 10"]
    assert (last.checkpoint, str(last.training)) == (tmp_path / "e10.ckpt", "epoch 10, step 100")
    assert (last.name, last.labels, dict(last.options)) == ("mine", ["a", "b"], {"classes": 2})


def test_files_are_a_glob_a_folder_a_path_or_several_and_each_counts_once(tmp_path: Path) -> None:
    write(tmp_path, **{f"r__v{n}.pt": {"epoch": n} for n in range(3)}, r__sub__w={})
    folder, file = tmp_path / "r", tmp_path / "r" / "v2.pt"
    usual = ["epoch 0", "epoch 1", "epoch 2"]
    assert labels(str(folder / "*.pt")) == labels(folder) == labels(tmp_path) == usual
    assert labels(f"{tmp_path}/**/*.pt") == usual
    assert labels(file) == ["epoch 2"]
    assert labels([file, folder, str(file)]) == usual
    assert labels(each for each in (file,)) == ["epoch 2"]


def test_a_name_with_brackets_is_a_file_if_there_is_one(tmp_path: Path) -> None:
    write(tmp_path, **{"val[acc].ckpt": {"epoch": 1}, "vala.ckpt": {"epoch": 2}})
    assert labels(tmp_path / "val[acc].ckpt") == ["epoch 1"]


def test_files_without_an_epoch_are_in_natural_order_under_their_names(tmp_path: Path) -> None:
    write(tmp_path, **{"run10.pt": {}, "run9.pt": {}, "a.pth.tar": {"epoch": 3}})
    assert labels(tmp_path) == ["epoch 3", "run9", "run10"]


def test_files_that_state_steps_alone_are_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, **{"b.pt": {"step": 5}, "a.pt": {"step": 20}})
    assert labels(tmp_path) == ["step 5", "step 20"]


def test_steps_are_in_labels_where_an_epoch_has_several(tmp_path: Path) -> None:
    steps = {f"{n}.ckpt": {"epoch": n // 2, "global_step": n} for n in range(3)}
    write(tmp_path, **steps)
    assert labels(tmp_path) == ["epoch 0, step 0", "epoch 0, step 1", "epoch 1, step 2"]


def test_further_files_of_one_step_show_their_names(tmp_path: Path) -> None:
    step = {"epoch": 3, "global_step": 40}
    names = ("best.ckpt", "epoch=3.ckpt", "epoch=3-v1.ckpt", "last.ckpt")
    write(tmp_path, **dict.fromkeys(names, step))
    found = effcam.checkpoints(tmp_path, SPEC)
    assert {label: Path(str(each.checkpoint)).name for label, each in found.items()} == {
        "epoch 3 (best)": "best.ckpt",
        "epoch 3": "epoch=3.ckpt",
        "epoch 3 (epoch=3-v1)": "epoch=3-v1.ckpt",
        "epoch 3 (last)": "last.ckpt",
    }


def test_a_lone_last_file_has_its_epoch(tmp_path: Path) -> None:
    assert labels(write(tmp_path, **{"last.ckpt": {"epoch": 3}})) == ["epoch 3"]


def test_files_of_several_runs_show_the_folders_in_which_they_differ(tmp_path: Path) -> None:
    runs = {f"{run}__ckpt__last.ckpt": {"epoch": 3} for run in "abc"}
    assert labels(write(tmp_path, **runs)) == [
        "epoch 3 (a/ckpt/last)",
        "epoch 3 (b/ckpt/last)",
        "epoch 3 (c/ckpt/last)",
    ]


def test_folders_of_transformers_are_one_checkpoint_each(tmp_path: Path) -> None:
    for step in (500, 1000):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        write(folder, **{"optimizer.pt": {}, "pytorch_model.bin": {}, "rng_state_0.pth": {}})
        save_file(STATE, folder / "model.safetensors")
    save_file(STATE, tmp_path / "out" / "model.safetensors")
    folders = ["step 500", "step 1000"]
    assert labels(tmp_path / "out" / "checkpoint-*") == folders
    found = effcam.checkpoints(tmp_path, SPEC)
    assert list(found) == [*folders, "out"]
    assert {Path(str(each.checkpoint)).name for each in found.values()} == {"model.safetensors"}


def test_every_nth_and_the_last(tmp_path: Path) -> None:
    write(tmp_path, **{f"{n}.ckpt": {"epoch": n} for n in range(6)})
    assert labels(tmp_path, every=2) == ["epoch 0", "epoch 2", "epoch 4", "epoch 5"]
    assert labels(tmp_path, every=9) == ["epoch 0", "epoch 5"]
    with pytest.raises(ArgumentError, match="every must be a whole number from 1, not 0"):
        labels(tmp_path, every=0)


def test_broken_files_are_all_named_or_left_out_with_a_warning(tmp_path: Path) -> None:
    write(tmp_path, **{"b.ckpt": {"epoch": 1}, "d.ckpt": {"epoch": 2}})
    (tmp_path / "a.ckpt").write_bytes(b"half a file")
    torch.save({"epoch": 3}, tmp_path / "c.ckpt")
    named = (
        r"2 of 4 checkpoints cannot be used: checkpoint '.*a\.ckpt' cannot be read: it is damaged.*"
        r"checkpoint '.*c\.ckpt' holds no state dict: 'epoch'"
    )
    with pytest.raises(WeightsError, match=named + r"\. .*on_error='skip'\) leaves them out"):
        labels(tmp_path)
    with pytest.warns(EffcamWarning, match=f"left out: {named}"):
        assert labels(tmp_path, on_error="skip") == ["epoch 1", "epoch 2"]
    with pytest.raises(WeightsError, match=r"^checkpoint '.*a\.ckpt' cannot be read"):
        labels(tmp_path / "a.ckpt", on_error="skip")
    with pytest.raises(ArgumentError, match="on_error must be 'raise' or 'skip', not 'warn'"):
        labels(tmp_path, on_error="warn")


def test_a_file_of_another_architecture_is_named_at_once(tmp_path: Path) -> None:
    two, five = ({"state_dict": ConvNet(count).state_dict()} for count in (2, 5))
    other = {"state_dict": torch.nn.Conv2d(3, 4, 3).state_dict()}
    write(tmp_path, **{f"{n}.ckpt": {"epoch": n, **two} for n in range(3)})
    for n in (3, 4):
        write(tmp_path, **{f"{n}.ckpt": {"epoch": n, **other}})
    spec = ModelSpec("mine", constructor=ConvNet, options={"classes": 2})
    named = r"2 of 5 checkpoints cannot be used: .*3\.ckpt' does not fit .*4\.ckpt' does not fit"
    with pytest.raises(WeightsError, match=named):
        effcam.checkpoints(tmp_path / "*.ckpt", spec)
    with pytest.warns(EffcamWarning, match=f"left out: {named}"):
        found = effcam.checkpoints(tmp_path / "*.ckpt", spec, on_error="skip")
    assert list(found) == ["epoch 0", "epoch 1", "epoch 2"]
    write(tmp_path, **{"3.ckpt": {"epoch": 3, **five}, "4.ckpt": {"epoch": 4, **two}})
    with pytest.raises(WeightsError, match=r"1 of 5 checkpoints .*3\.ckpt' does not fit"):
        effcam.checkpoints(tmp_path / "*.ckpt", spec)


def test_averaged_weights_of_some_files_are_a_warning(tmp_path: Path) -> None:
    write(tmp_path, **{"0.pt": {"epoch": 0}, "1.pt": {"epoch": 1, "model_ema": STATE}})
    with pytest.warns(EffcamWarning, match=r"1 of 2 checkpoints hold averaged .*'model_ema' in"):
        assert labels(tmp_path) == ["epoch 0", "epoch 1"]
    write(tmp_path, **{"0.pt": {"epoch": 0, "model_ema": {"decay": torch.tensor(0.9)}}})
    write(tmp_path, **{"1.pt": {"epoch": 1}})
    assert labels(tmp_path) == ["epoch 0", "epoch 1"]


def test_a_head_of_more_classes_fits(tmp_path: Path) -> None:
    import timm

    for count in (2, 5):
        network = timm.create_model("resnet18", num_classes=count)
        torch.save({"epoch": count, "state_dict": network.state_dict()}, tmp_path / f"{count}.pt")
    assert list(effcam.checkpoints(tmp_path, "resnet18")) == ["epoch 2", "epoch 5"]


def test_epochs_that_look_alike_have_their_steps(tmp_path: Path) -> None:
    early = {f"{n}.pt": {"epoch": n / 1000, "global_step": n} for n in (1, 2)}
    write(tmp_path, **early)
    assert labels(tmp_path) == ["epoch 0, step 1", "epoch 0, step 2"]


def test_what_matches_no_checkpoint_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"r__a__x.ckpt": {}, "empty__photo.jpg": {}})
    (tmp_path / "none").mkdir()
    for files, message in {
        str(tmp_path / "r" / "*.ckpt"): r"no checkpoint matches '.*'; the folder '.*r' holds 1 file"
        " of weights, itself or below",
        str(tmp_path / "non*"): "no checkpoint matches '.*': 1 folder match, which hold no weights",
        str(tmp_path / "gone" / "*.pt"): "no checkpoint matches '.*'; the folder '.*' holds 1 file",
        str(tmp_path / "x.ckpt"): r"checkpoint '.*x\.ckpt' does not exist",
        str(tmp_path / "empty"): r"folder '.*empty' has no checkpoints \(suffixes: \.tar, \.ckpt",
    }.items():
        with pytest.raises(WeightsError, match=message):
            labels(files)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (3, "files must be a glob such as 'runs/\\*.ckpt', a folder, or paths, not int"),
        ([3], "a checkpoint is a path, not int"),
        ([], "files names no checkpoint: there are no paths"),
    ],
)
def test_files_of_other_kinds_are_refused(files: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        labels(files)


def test_models_that_cannot_be_built_anew_are_refused(tmp_path: Path) -> None:
    write(tmp_path, **{"a.ckpt": {}})
    with pytest.raises(UnknownModelError, match=r"no model is called 'resnet5'\. Did you mean"):
        effcam.checkpoints(tmp_path, "resnet5")
    with pytest.raises(
        ArgumentError, match=r"not ConvNet: .*effcam.ModelSpec\('mine', constructor="
    ):
        effcam.checkpoints(tmp_path, ConvNet())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"mine has the checkpoint 'x\.pt' already"):
        effcam.checkpoints(tmp_path, ModelSpec("mine", constructor=ConvNet, checkpoint="x.pt"))


def test_the_published_weights_of_a_registered_model_are_replaced(tmp_path: Path) -> None:
    write(tmp_path, **{"a.ckpt": {"epoch": 1}})
    (spec,) = effcam.checkpoints(tmp_path, "demo_resnet").values()
    assert spec.checkpoint == tmp_path / "a.ckpt"
