"""The families by name, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from speed.family import Family

# name: module; each module has a class `Benchmarks`. In the order of the page.
FAMILIES = {
    "least-squares": "speed.least_squares",
    "logistic": "speed.logistic",
    "multinomial": "speed.multinomial",
    "fitting": "speed.fitting",
    "default-fits": "speed.default_fits",
    "lm-step": "speed.lm_step",
    "pass": "speed.gradient_pass",
    "mini-batch": "speed.mini_batch",
    "small": "speed.small_data",
    "growth": "speed.growth",
    "start": "speed.startup",
    "beyond-memory": "speed.beyond_memory",
}


def family_named(name: str) -> Family:
    family: Family = import_module(FAMILIES[name]).Benchmarks()
    return family
