"""Names of weights in files of transformers, which are others than those of its modules."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from effcam.models.tracing.rng import IsolatedRandomness

if TYPE_CHECKING:
    import torch
    from torch import nn


def rename_saved(state: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """Return a state dict with a module's own names, if it is one of transformers.

    transformers 5 has renamed the layers of ViT and others, and saves them under the old names;
    only its own ``from_pretrained`` knows both.

    Args:
        state: The tensors as a file names them. They are returned as they are if transformers
            cannot make all weights of the module of them.
        module: The network.
    """
    transformers = sys.modules.get("transformers")
    kind = getattr(transformers, "PreTrainedModel", None)
    if kind is None or not isinstance(module, kind) or set(state) == set(module.state_dict()):
        return dict(state)
    logging = transformers.logging  # type: ignore[union-attr]  # it is not None here
    shows, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with IsolatedRandomness():
            made, report = type(module).from_pretrained(
                None, config=module.config, state_dict=dict(state), output_loading_info=True
            )
    except Exception:  # noqa: BLE001  # the names do not fit; which ones is said by `fit`
        return dict(state)
    finally:
        logging.set_verbosity(level)
        if shows:
            logging.enable_progress_bar()
    return dict(state) if any(report.values()) else made.state_dict()
