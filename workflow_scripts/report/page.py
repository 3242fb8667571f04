"""Jinja rendering from template files that were handed over by path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from workflow_scripts.core.errors import PipelineError


def render(templates: Sequence[Path], name: str, autoescape: bool = True, **content: Any) -> str:
    """Render the template called `name`; the others may be extended or included by file name.

    With `autoescape` (HTML) every value is escaped unless it is markupsafe.Markup. A missing value is an error.
    """
    try:
        sources = {path.name: path.read_text(encoding="utf-8") for path in templates}
    except OSError as error:
        raise PipelineError(f"cannot read the template {error.filename}: {error.strerror}") from error
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(sources),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    try:
        return environment.get_template(name).render(**content)
    except jinja2.TemplateNotFound as error:
        raise PipelineError(
            f"the template {error.name} was not handed over; got {', '.join(sources) or 'none'}"
        ) from error
    except jinja2.TemplateError as error:
        raise PipelineError(f"the template {name} cannot be rendered: {error}") from error
