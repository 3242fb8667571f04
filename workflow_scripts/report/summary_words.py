"""Settings in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workflow_scripts.report.labels import counted
from workflow_scripts.report.sourced_numbers import source_numbers
from workflow_scripts.report.tables import markdown, setting_value, shared_settings, varied_settings

Setting = Callable[..., str]


def setting_words(report: Mapping[str, Any]) -> Setting:
    """A function of a dotted key and a noun to count, whose Markdown is marked with the setting's origin."""
    shared, own = shared_settings(report), varied_settings(report)

    def setting(name: str, noun: str = "") -> str:
        """The value of a setting such as `training.num_steps`, marked; with a noun, `40 steps`.

        Where arms differ, all their values: `0.001 / 0.002 by arm`.
        """
        if name in shared:
            return source_numbers(_setting_text(shared[name], noun), f"setting/{name}")
        texts: dict[str, str] = {}
        for arm, settings in own.items():
            texts.setdefault(_setting_text(settings.get(name), noun), arm)
        each = [source_numbers(text, f"setting/{arm}/{name}") for text, arm in texts.items()]
        return " / ".join(each) + " by arm"

    return setting


def _setting_text(value: Any, noun: str) -> str:
    if noun:
        return counted(value, noun)
    return f"{value:,}" if type(value) is int else markdown(setting_value(value))
