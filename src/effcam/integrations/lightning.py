"""A callback for ``lightning.pytorch.Trainer``: ``pip install 'effcam[lightning]'``."""

from __future__ import annotations

from effcam.integrations.lightning_hooks import CompareHooks

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise ImportError(
        "effcam.integrations.lightning needs Lightning: pip install 'effcam[lightning]'. For the "
        "package pytorch_lightning there is effcam.integrations.pytorch_lightning"
    ) from error


class CompareCallback(CompareHooks, Callback):
    """Show the network in the loop of a ``lightning.pytorch.Trainer``."""
