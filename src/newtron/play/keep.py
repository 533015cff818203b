"""The derivations that a saved page keeps: those of all steps of the chosen example and of the mean, and those of all
examples at the step that was looked at; as many of them as fit."""

from __future__ import annotations

import json

from newtron.engine.base.checks import check_count
from newtron.engine.base.errors import InputError
from newtron.play.derivation import derivation_facts
from newtron.play.messages import DerivationFacts
from newtron.play.problem import Problem, mapping, method_from

# The most derivations, which take about 5 milliseconds each, and the most characters of them: with the run they stay
# below the largest file that is written.
MOST, MOST_CHARACTERS = 600, 10 * 2**20


def kept_derivations(
    problem: Problem, given: dict[str, object], state: dict[str, object]
) -> dict[str, DerivationFacts]:
    """Derivations by the key that the page looks for: method, step, and row or "all". Those next to the step that is
    looked at come first, so that where not all fit the farthest are left out."""
    view, setup = mapping("state.view", state.get("view")), mapping("setup", given.get("setup"))
    runs, methods = mapping("state.run", state.get("run")).get("runs"), setup.get("methods")
    if not isinstance(runs, list) or not isinstance(methods, list) or len(runs) != len(methods):
        raise InputError("state must hold the runs of the methods of the set-up.")
    row = problem.row_from(view.get("row"))
    looked_at, active = (check_count(name, view.get(name), least=0) for name in ("step", "active"))
    ways = [mapping("run", run).get("params") for run in runs]
    if not all(isinstance(way, list) and way for way in ways) or active >= len(ways):
        raise InputError("state must hold the parameters of every step.")
    lasts = [len(way) - 1 for way in ways if isinstance(way, list)]
    wanted: list[tuple[int, int, int | None]] = [
        (method, step, which) for method, last in enumerate(lasts) for step in range(last + 1) for which in (row, None)
    ]
    wanted += [(active, min(looked_at, lasts[active]), other) for other in range(len(problem.X)) if other != row]
    wanted.sort(key=lambda key: abs(key[1] - looked_at))
    found: dict[str, DerivationFacts] = {}
    size = 0
    for method, step, which in wanted[:MOST]:
        way = ways[method]
        assert isinstance(way, list)
        params = problem.params_from("params", way[step])
        facts = derivation_facts(problem, params, which, method_from(methods[method]).solver)
        size += len(json.dumps(facts))
        if size > MOST_CHARACTERS:
            break
        found[f"{method}/{step}/{'all' if which is None else which}"] = facts
    return found
