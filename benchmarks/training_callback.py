"""What showing a network during its training costs, as a share of an epoch's time.

For trainings of several sizes it alternates a loop with `effcam.integrations.watch.Watch` at its
defaults and the same loop without it, and prints the median of the pairs. Times are those that the
processor works for this process, so that other programs hardly matter::

    python benchmarks/training_callback.py            # about three minutes on two cores
    python benchmarks/training_callback.py --pairs 9
    python benchmarks/training_callback.py --long --pairs 1      # a training of some minutes, twice

A training of a few seconds is dominated by the first and the last epoch, which are always shown; a
longer one (``--long``) keeps within 1 %. So the cost of showing it once is printed too, and from
which length of an epoch on each epoch is shown within 1 %.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

import effcam
from effcam.integrations.pace import SHARE
from effcam.integrations.watch import Watch


@dataclass(frozen=True)
class Size:
    """A training.

    Attributes:
        network: The name of its network in timm.
        side: The side of its images in px.
        batches: The number of batches in an epoch.
        epochs: The number of epochs.
    """

    network: str
    side: int
    batches: int
    epochs: int


SIZES = (
    Size("resnet18", 64, 4, 24),
    Size("resnet18", 64, 16, 12),
    Size("convnext_atto", 96, 8, 12),
)
LONG = (Size("resnet18", 96, 64, 32),)
BATCH = 8
IMAGES = 8
CLASSES = len(effcam.demo.LABELS)
SCENES = effcam.demo.scenes(IMAGES, seed=1)


def train(size: Size, images: Tensor, labels: Tensor, *, shown: bool) -> tuple[float, Watch | None]:
    """Return the time of a training in s, and what showed it."""
    torch.manual_seed(0)
    network = timm.create_model(size.network, num_classes=CLASSES)
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    watch = None
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        if shown:
            watch = Watch(
                SCENES,
                folder,
                preprocess=effcam.Preprocess(size=size.side),
                class_names=effcam.demo.LABELS,
                epochs=size.epochs,
                clock=time.process_time,
            )
            watch.start(network)
        for epoch in range(size.epochs):
            for _ in range(size.batches):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(images), labels).backward()
                optimizer.step()
            if watch:
                watch.epoch_end(epoch)
        if watch:
            watch.end()
        return time.process_time() - begin, watch


def once(size: Size, times: int = 5) -> float:
    """Return the median time in s of showing a network once, when it has been shown before."""
    network = timm.create_model(size.network, num_classes=CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(
            SCENES,
            folder,
            every_n_epochs=1,
            preprocess=effcam.Preprocess(size=size.side),
            class_names=effcam.demo.LABELS,
        )
        watch.start(network)
        found = []
        for epoch in range(times + 1):
            with torch.no_grad():
                for each in network.parameters():
                    each.mul_(1.001)
            begin = time.process_time()
            watch.epoch_end(epoch)
            found.append(time.process_time() - begin)
    return statistics.median(found[1:])


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="one training of some minutes")
    options = parser.parse_args()
    pairs, sizes = options.pairs, LONG if options.long else SIZES
    logging.getLogger("effcam").setLevel(logging.WARNING)
    warm = SIZES[0]
    train(Size(warm.network, warm.side, 1, 2), *batch(warm), shown=True)
    print(f"{IMAGES} images; medians of {pairs} pairs")
    for size in sizes:
        data = batch(size)
        ratios, own, epochs, columns = [], [], [], []
        for _ in range(pairs):
            without, _ = train(size, *data, shown=False)
            with_it, watch = train(size, *data, shown=True)
            assert watch is not None
            ratios.append(with_it / without - 1)
            spent = watch._pace.spent
            own.append(spent / (with_it - spent))
            epochs.append(without / size.epochs)
            columns.append(len(watch.comparison.columns))
        cost, epoch = once(size), statistics.median(epochs)
        print(
            f"{size.network} at {size.side} px, {size.epochs} epochs of {epoch:.2f} s: "
            f"{statistics.median(ratios):+.1%} ({min(ratios):+.1%} to {max(ratios):+.1%}), "
            f"by its own clock {statistics.median(own):.1%}, "
            f"{statistics.median(columns):.0f} epochs shown; once {1000 * cost:.0f} ms, "
            f"{cost / epoch:.1%} of an epoch, so each epoch within {SHARE:.0%} from epochs of "
            f"{cost / SHARE:.0f} s on",
            flush=True,
        )


def batch(size: Size) -> tuple[Tensor, Tensor]:
    """Return random images and labels."""
    made = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, size.side, size.side, generator=made)
    return images, torch.randint(CLASSES, (BATCH,), generator=made)


if __name__ == "__main__":
    main()
