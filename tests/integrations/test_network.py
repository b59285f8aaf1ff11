"""Which network of a training is shown, with which transform."""

from __future__ import annotations

import logging
import re

import pytest
import torch
from torch import nn

import effcam
from effcam.errors import ArgumentError, ModelError
from effcam.integrations.distributed import check_whole
from effcam.integrations.first_batch import differences, watch_first_batch
from effcam.integrations.network import find_part, find_transform, say_transform


class Two(nn.Module):
    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


LINEAR = nn.Linear(2, 2)


def test_the_module_itself() -> None:
    module = Two(model=LINEAR)
    assert find_part(module, None) == (module, "Two")
    assert find_part(torch.nn.DataParallel(module), None) == (module, "Two")


@pytest.mark.parametrize(
    "parts",
    [
        {"body": LINEAR, "loss": nn.CrossEntropyLoss()},
        {"teacher": nn.Linear(1, 1), "model": LINEAR},
        {"net": LINEAR, "teacher": nn.Linear(1, 1)},
    ],
)
def test_without_forward_it_is_the_network(parts: dict[str, nn.Module]) -> None:
    name = next(name for name, part in parts.items() if part is LINEAR)
    assert find_part(Two(**parts), None, has_forward=False) == (LINEAR, f"Two.{name}")


def test_a_part_that_is_chosen() -> None:
    module = Two(first=nn.Sequential(LINEAR), second=nn.Linear(1, 1))
    assert find_part(module, "first.0") == (LINEAR, "Two.first.0")
    assert find_part(module, lambda whole: whole.first) == (module.first, "Sequential")
    assert find_part(module, LINEAR) == (LINEAR, "Linear")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (None, "has to be chosen among 'first', 'second': give module='first'"),
        ("third", "Two has no part 'third'; it has 'first', 'second'"),
        (3, "module must be the name of a part, a module, or a function that returns one, not 3"),
    ],
)
def test_no_such_part(part: object, message: str) -> None:
    module = Two(first=nn.Linear(1, 1), second=nn.Linear(1, 1))
    with pytest.raises(ArgumentError, match=re.escape(message)):
        find_part(module, part, has_forward=False)  # type: ignore[arg-type]


def test_no_network_at_all() -> None:
    with pytest.raises(ArgumentError, match="neither a forward"):
        find_part(Two(loss=nn.MSELoss()), None, has_forward=False)


class Processor:
    """What an image processor of transformers has."""

    do_resize, size, resample = True, {"height": 32, "width": 48}, 2
    do_rescale, rescale_factor, do_normalize = True, 1 / 255, True
    image_mean = image_std = (0.5, 0.5, 0.5)


def test_the_transform_that_is_given() -> None:
    given = effcam.Preprocess(size=(32, 32))
    found = find_transform(LINEAR, given, Processor())
    assert found.preprocess is given
    assert not found.is_assumed
    assert find_transform(LINEAR, Processor()).preprocess.size == (32, 48)
    with pytest.raises(ArgumentError, match=r"preprocess must be an effcam\.Preprocess, not str"):
        find_transform(LINEAR, "resize")


def test_the_transform_of_the_processor() -> None:
    found = find_transform(LINEAR, None, Processor())
    assert found.preprocess.mean == (0.5, 0.5, 0.5)
    assert "the Processor of the trainer states" in say_transform(found)
    processor = Processor()
    processor.do_pad = True  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="Processor: its image processor has the step do_pad"):
        find_transform(LINEAR, None, processor)
    tokenizer = object()
    assert find_transform(LINEAR, None, tokenizer).is_assumed


def test_the_transform_of_a_network_within() -> None:
    inner = nn.Linear(2, 2)
    inner.pretrained_cfg = {  # type: ignore[assignment]
        "input_size": (3, 96, 96), "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.5, 0.5),
        "crop_pct": 1.0, "interpolation": "bicubic",
    }  # fmt: skip
    found = find_transform(Two(model=inner), None)
    assert (found.preprocess.size, found.preprocess.mean) == ((96, 96), (0.1, 0.2, 0.3))
    assert "pretrained_cfg" in say_transform(found)


def test_an_assumed_transform_is_said() -> None:
    found = find_transform(LINEAR, None)
    assert found.is_assumed
    assert "nothing states how photos become inputs" in say_transform(found)
    assert "224 x 224 px" in say_transform(found)


TRANSFORM = effcam.Preprocess(size=(8, 8))


def normalised(side: int = 8) -> torch.Tensor:
    pixels = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    pixels[:, :, 0, 0] = 0
    mean, std = (torch.tensor(each)[:, None, None] for each in (TRANSFORM.mean, TRANSFORM.std))
    return (pixels - mean) / std


def test_a_batch_of_this_transform() -> None:
    assert differences(normalised(), TRANSFORM, sizes=True) == []
    noisy = normalised()
    noisy[:, :, :2] = 9  # noise of an augmentation
    assert differences(noisy.half(), TRANSFORM, sizes=True) == []
    assert differences(normalised(16), TRANSFORM, sizes=False) == []


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (normalised(16), "its inputs have 16 x 16 px, those shown 8 x 8"),
        (torch.rand(4, 3, 8, 8), "channel 0 of its inputs has values from"),
        (255 * torch.rand(4, 3, 8, 8), "those shown -2.12 to 2.25"),
    ],
)
def test_a_batch_of_another_transform(batch: torch.Tensor, message: str) -> None:
    (found,) = differences(batch, TRANSFORM, sizes=True)
    assert message in found


def test_values_that_a_bare_transform_never_makes() -> None:
    bare = effcam.Preprocess(size=(8, 8), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert len(differences(normalised(), bare, sizes=True)) == 1
    assert differences(torch.rand(4, 3, 8, 8), bare, sizes=True) == []


def test_one_batch_of_training_is_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    module = nn.Conv2d(3, 2, 1)
    said: list[list[str]] = []
    stop = watch_first_batch(module, TRANSFORM, said.append, sizes=True)
    module.eval()(torch.rand(1, 3, 4, 4))
    assert said == []
    module.train()
    for _ in range(3):
        module(torch.rand(1, 3, 4, 4))
    assert len(said) == 1
    assert len(said[0]) == 2
    assert not module._forward_pre_hooks
    stop()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class FullyShardedDataParallel(nn.Module):
    pass


def test_sharded_networks_are_refused() -> None:
    check_whole(Two(model=LINEAR))
    with pytest.raises(ModelError, match=r"FullyShardedDataParallel.*effcam\.checkpoints"):
        check_whole(Two(model=FullyShardedDataParallel()))
    module = nn.Linear(1, 1)
    module.weight.ds_id = 3  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="ZeRO stage 3"):
        check_whole(module)
