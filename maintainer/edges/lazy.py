"""Modules that cost a tenth of a second to import, and that most commands never use: imported at the first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module until one of its names is asked for.

    Where it is declared, `if TYPE_CHECKING` imports the module itself, so that types are checked as ever.
    """

    def __init__(self, name: str) -> None:
        """Take the module's full name. Nothing is imported yet."""
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Import the module, and return what it has under this name."""
        return getattr(import_module(self._name), name)
