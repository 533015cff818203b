"""The peers: which are installed, and each at the setting that its documentation recommends for this work."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Sequence
from functools import cache

# Distribution names of what the page says the version of.
PACKAGES = ("torch", "torch-levenberg-marquardt", "jax", "optax", "optimistix", "glum", "statsmodels")


@cache
def _present(name: str) -> bool:
    if name == "Rscript":
        return shutil.which("Rscript") is not None
    if name == "libfann":
        from speed.fann import library

        return library("float32") is not None
    return importlib.util.find_spec(name) is not None


def missing(names: Sequence[str]) -> list[str]:
    return [name for name in names if not _present(name)]


def versions() -> str:
    """Names and versions of the optional peers, for the page."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)
