"""How the training of members ended, in words and for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from newtron.engine.base.words import count, joined
from newtron.engine.solvers import Solution, Status
from newtron.training.fitted import Member

ENDS = {
    Status.CONVERGED: "converged",
    Status.PRECISION: "converged",
    Status.MAX_ITER: "stopped at the iteration limit",
    Status.STALLED: "stalled before convergence",
    Status.PLATEAU: "ended on a plateau",
    Status.UNBOUNDED: "without a minimum",
    Status.DIVERGED: "diverged",
    Status.NOT_FINITE: "not finite at the start",
    Status.EARLY_STOPPED: "stopped early by rule",
    Status.STOPPED: "stopped",
    Status.INTERRUPTED: "interrupted",
}


def ending(members: Sequence[Member]) -> str:
    """'6 iterations, converged' or '3 members: 2 converged and 1 stopped at the iteration limit'; where not all that
    were trained predict, '9 members, of which 8 predict: 8 converged'."""
    solutions = _of_those_that_predict(members)
    if len(members) == 1:
        return f"{count(solutions[0].n_iter, 'iteration')}, {ENDS[solutions[0].status]}"
    tally = Counter(ENDS[solution.status] for solution in solutions)
    ends = joined(f"{n} {end}" for end, n in tally.items())
    n = len(solutions)
    part = "" if n == len(members) else f", of which {n:,} predict{'s' if n == 1 else ''}"
    return f"{count(len(members), 'member')}{part}: {ends}"


def sentences(members: Sequence[Member]) -> list[str]:
    """Each way in which the members that predict ended, in whole sentences."""
    return list(dict.fromkeys(solution.sentence for solution in _of_those_that_predict(members)))


def _of_those_that_predict(members: Sequence[Member]) -> list[Solution]:
    return [member.solution for member in members if member.share]


def member_facts(member: Member) -> dict[str, object]:
    """How the training of a member ended, for JSON."""
    solution = member.solution
    return {
        "status": solution.status.name.lower(),
        "sentence": solution.sentence,
        "converged": solution.converged,
        "iterations": solution.n_iter,
        "objective": solution.value,
        "gradient_norm": solution.gradient_norm,
        "solver": solution.solver.name,
        "share": member.share,
    }
