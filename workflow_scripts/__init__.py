"""The library behind the pipeline and, one file per rule, its entry points. See docs/architecture.md."""

import importlib
import sys

_called = "".join(sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1]) if "-m" in sys.orig_argv else ""
if _called.startswith(f"{__name__}.") and _called.count(".") == 1:
    # by name, so that the list of old commands is part of no step's source closure
    importlib.import_module(f"{__name__}.tools.moved").exit_if_moved(_called.partition(".")[2])
