"""Shared parts of the tools that train the demo models."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from effcam.images.preprocess import Preprocess

if TYPE_CHECKING:
    import numpy as np


def drawn(picture: Callable[..., Any], jobs: Iterable[tuple[int, ...]]) -> list[Any]:
    """Return what a function makes of each tuple of arguments, with one process per core."""
    with Pool() as pool:
        return pool.starmap(picture, jobs, chunksize=50)


def batches(count: int, size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield batches of positions without end, each scene once per epoch."""
    while True:
        order = random.permutation(count)
        yield from (order[at : at + size] for at in range(0, count - size + 1, size))


def fit(
    name: str,
    network: nn.Module,
    *,
    rate: float,
    steps: int,
    chosen: Iterator[np.ndarray],
    loss_of: Callable[[np.ndarray, float], Tensor],
) -> nn.Module:
    """Train a network with AdamW and one cycle of the learning rate; return it for evaluation.

    Args:
        name: Its name in the lines that are printed.
        network: The network.
        rate: The highest learning rate.
        steps: The number of batches to train on.
        chosen: Batches of positions, without end.
        loss_of: Returns the loss of a batch, at a progress from 0 to 1.
    """
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05)
    schedule = OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    average, start = 0.0, time.perf_counter()
    for step, batch in zip(range(steps), chosen, strict=False):
        loss = loss_of(batch, step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average += 0.01 * (loss.item() - average) if step else loss.item()
        if step % 100 == 99 or step + 1 == steps:
            spent = time.perf_counter() - start
            print(
                f"{name}: {step + 1} of {steps} steps, loss {average:.3f}, {spent:.0f} s",
                flush=True,
            )
    return network.eval()


def turned(image: Tensor, random: np.random.Generator) -> Tensor:
    """Return an image (h, w, 3), turned by a random multiple of 90 degrees, perhaps mirrored."""
    image = torch.rot90(image, int(random.integers(4)))
    return image.flip(0) if random.random() < 0.5 else image


def as_input(images: Tensor) -> Tensor:
    """Return images (n, 3, h, w) in [0, 1] as a network's input, of varied light and colour."""
    count = len(images)
    images *= torch.empty(count, 1, 1, 1).uniform_(0.7, 1.3)
    images *= torch.empty(count, 3, 1, 1).uniform_(0.85, 1.15)
    usual = Preprocess()
    mean, std = (torch.tensor(each)[:, None, None] for each in (usual.mean, usual.std))
    normal = (images.clamp_(0, 1) - mean) / std
    return normal.contiguous(memory_format=torch.channels_last)


def save(network: nn.Module, path: Path) -> Path:
    """Write the weights in half precision, without step counters, and return the file."""
    state = {
        name: tensor.half().contiguous()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }
    save_file(state, path)
    path.chmod(0o644)
    return path


def size_of(path: Path) -> dict[str, int]:
    """Return the number of parameters and of bytes of a file of weights."""
    statistics = ("running_mean", "running_var")
    parameters = sum(
        each.numel() for name, each in load_file(path).items() if not name.endswith(statistics)
    )
    return {"parameters": parameters, "bytes": path.stat().st_size}


def add_to_log(log: Path, row: dict[str, object], order: Iterable[str]) -> None:
    """Add a network's row to a log, replacing an older one; ``order`` is that of the networks."""
    rows: dict[str, dict[str, object]] = {}
    if log.is_file():
        with log.open(newline="", encoding="utf-8") as stream:
            rows = {each["network"]: dict(each) for each in csv.DictReader(stream)}
    rows[str(row["network"])] = row
    with log.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, row, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in order if name in rows)
