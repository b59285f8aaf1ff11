"""The callback for trainers of the package ``pytorch_lightning``, whose callbacks are others."""

from __future__ import annotations

from effcam.integrations.lightning_hooks import CompareHooks

try:
    from pytorch_lightning import Callback
except ImportError as error:
    raise ImportError(
        "effcam.integrations.pytorch_lightning needs pytorch_lightning: pip install "
        "pytorch_lightning. For the package lightning there is effcam.integrations.lightning"
    ) from error


class CompareCallback(CompareHooks, Callback):
    """Show the network in the loop of a ``pytorch_lightning.Trainer``."""
