"""Compare the first batch of a training with the transform that photos are shown with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from effcam.images.preprocess import Preprocess

SLACK = 0.05
"""How far values may lie beyond the transform's range, as a share of it."""
MANY = 0.25
"""The share of values beyond the range that shows another transform.

Some augmentations put noise into normalised images.
"""


def differences(batch: Tensor, preprocess: Preprocess, *, sizes: bool) -> list[str]:
    """Return how a batch of training differs from what a transform makes, in words.

    A mean and a deviation that differ a little cannot be seen in one batch.

    Args:
        batch: (batch, channels, height, width) inputs of the network.
        preprocess: The transform.
        sizes: Whether to compare the sizes too. A training may crop smaller inputs on purpose.
    """
    found = []
    height, width = batch.shape[2:]
    if sizes and (height, width) != preprocess.size:
        tall, wide = preprocess.size
        found.append(f"its inputs have {height} x {width} px, those shown {tall} x {wide}")
    if batch.shape[1] == preprocess.channels:
        found += _other_values(batch.detach().float(), preprocess)
    return found


def _other_values(batch: Tensor, preprocess: Preprocess) -> list[str]:
    """Return how the values of a float batch differ from the transform's, in words."""
    lows, highs = batch.amin((0, 2, 3)).tolist(), batch.amax((0, 2, 3)).tolist()
    for channel, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std, strict=True)):
        least, most = (0 - mean) / std, (1 - mean) / std
        slack = SLACK * (most - least)
        values, low, high = batch[:, channel], lows[channel], highs[channel]
        outside = ((values < least - slack) | (values > most + slack)).float().mean()
        # A normalised batch has dark pixels, whose values are below 0.
        is_bare = least < -slack and low >= 0 and high <= 1 < most
        if float(outside) > MANY or is_bare:
            got, expected = f"{low:.3g} to {high:.3g}", f"{least:.3g} to {most:.3g}"
            return [
                f"channel {channel} of its inputs has values from {got}, those shown {expected}"
            ]
    return []


def watch_first_batch(
    module: nn.Module, preprocess: Preprocess, tell: Callable[[list[str]], None], *, sizes: bool
) -> Callable[[], None]:
    """Look at the first batch that a network gets in training, once; return what ends that.

    Args:
        module: The network. It must not be compiled, since compiled code runs no hooks.
        preprocess: The transform.
        tell: Called with what `differences` found, if it is something.
        sizes: As in `differences`.
    """
    is_done = False

    def look(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal is_done  # a copy of the network keeps the hook
        given = args[0] if args else kwargs.get("pixel_values")
        if is_done or not part.training or not isinstance(given, Tensor) or given.ndim != 4:
            return
        is_done = True
        handle.remove()
        found = differences(given, preprocess, sizes=sizes)
        if found:
            tell(found)

    handle = module.register_forward_pre_hook(look, with_kwargs=True)
    return handle.remove
