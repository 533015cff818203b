"""Packages that scikit-learn and pyarrow import without need are left out of the command's own process.

Both import pandas where it is installed, and scikit-learn imports all of scipy.stats: together two thirds of the time
that `import sklearn` takes, for functions that no command calls. Measured with pandas 3.1: the imports of `newtron fit`
take 0.9 s of a processor's time instead of 1.7 s.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType


class LazyModule(ModuleType):
    """Stands for a module until something in it is asked for, and then gives way to the module itself."""

    def __getattr__(self, name: str) -> object:
        # Python asks every module for names such as __file__; these two ask for what is inside.
        if name.startswith("__") and name not in ("__path__", "__all__"):
            raise AttributeError(f"module {self.__name__!r} is not loaded yet and has no {name}")
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class WithoutPandas:
    """A finder of modules that says of pandas what Python says where it is not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def restore_pandas() -> None:
    """For a command that needs pandas: what reads formulas does."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, WithoutPandas)]


def spare_imports() -> None:
    """For a process of our own alone: in it pandas seems not to be installed, as it need not be, and scipy.stats is
    loaded only if something in it is used."""
    sys.meta_path.insert(0, WithoutPandas())
    sys.modules.setdefault("scipy.stats", LazyModule("scipy.stats"))
