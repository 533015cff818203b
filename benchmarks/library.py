"""Newtron from this checkout, where the certified data are, and the facts about this machine."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np
import scipy
import sklearn
import sklearn.linear_model  # loads the BLAS libraries that are looked at below
from tables import ROOT
from threadpoolctl import threadpool_info

sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support import certified  # noqa: E402  (the tests know where the certified and shared data are)
from support.problems import FormulaObjective  # noqa: E402

import newtron  # noqa: E402

__all__ = ["FormulaObjective", "certified", "facts"]


def facts() -> str:
    """Versions, cores and BLAS threads, as a list."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    blas = {
        f"{library['internal_api']} {library['version']}: {library['num_threads']}"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    return "\n".join(
        [
            f"- Python {platform.python_version()}, newtron {newtron.__version__}, NumPy {np.__version__}, "
            f"SciPy {scipy.__version__},\n"
            f"  scikit-learn {sklearn.__version__}; {platform.system()} {platform.machine()}, {cores} cores.",
            f"- BLAS threads by default: {'; '.join(sorted(blas))}. newtron holds BLAS to one thread and\n"
            "  shares the rows among its own.",
        ]
    )
