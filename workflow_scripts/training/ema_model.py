"""The network that everything after training looks at: a checkpoint's EMA weights, in evaluation mode."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.nets.registry import build_model
from workflow_scripts.training.checkpoints import load_checkpoint


def load_ema_model(path: Path, settings: Mapping[str, Any], must_agree: Sequence[str]) -> nn.Module:
    """Build `settings["model"]` for `settings["data"]` and load the EMA weights of the checkpoint at `path`, on the CPU.

    `must_agree` names what the checkpoint must have been trained with: `seed`, `step`, or sections of its settings.
    PipelineError, naming the file, when the checkpoint is damaged, disagrees, or does not fit the model.
    """
    checkpoint = load_checkpoint(path)
    trained_with = {**checkpoint["settings"], "seed": checkpoint["seed"], "step": checkpoint["step"]}
    for name in must_agree:
        if trained_with.get(name) != settings[name]:
            raise PipelineError(
                f"{path} was trained with another {name} than is asked for; delete it and train again"
            )
    model = build_model(settings["model"], settings["data"]["channels"], settings["data"]["image_size"])
    try:
        model.load_state_dict(checkpoint["ema"])
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), 200)
        raise PipelineError(
            f"the EMA weights in {path} do not fit the model ({reason}); train it again"
        ) from error
    return model.eval()
