"""Which solver for which problem: the rule behind solver="auto", and its reason in words."""

from __future__ import annotations

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers.gradient_descent import GradientDescent
from newtron.engine.solvers.lbfgs import LBFGS
from newtron.engine.solvers.levenberg_marquardt import LevenbergMarquardt
from newtron.engine.solvers.newton import Newton
from newtron.engine.solvers.newton_cg import NewtonCG
from newtron.engine.solvers.state import Solver
from newtron.engine.solvers.stochastic import Stochastic

SOLVERS: dict[str, type[Solver]] = {
    solver.name: solver for solver in (GradientDescent, Stochastic, Newton, LevenbergMarquardt, NewtonCG, LBFGS)
}

# Parameters up to which a matrix of curvature is formed at every step: it then takes 8 MB, and 0.1 s to factor.
_MATRIX = 1000
# Where every sum reads the rows anew: parameters up to which the Hessian is summed over all rows. It takes 32 MB, which
# each worker sends.
_SUMMED = 2 * _MATRIX
# Where every sum reads the rows anew: parameters up to which a Hessian is formed from a sample of the rows (200 MB in
# this process). With it L-BFGS takes some 20 passes whatever the columns, while conjugate gradients with the same
# matrix take 80 to 360 products (measured on 150 columns of condition 1e6, with 20 to 1.5 rows of the sample for each).
_SAMPLED = 5 * _MATRIX
# Rows x parameters² of one exact Hessian of a perceptron, below which a step of Newton costs less than the Python
# around it.
_HESSIAN_WORK = 5e6
# Rows x outputs x parameters² of one Gauss-Newton matrix that takes about a second of one core.
_GAUSS_NEWTON_WORK = 2.5e9
# The same work, from which on L-BFGS takes less time than matrices. In a regression, of which it needs thousands of
# steps where the penalty is weak, only with more parameters than the first number; measured under penalties from 0.01
# to 30 on networks of 75 to 781 parameters and 84 to 1,200 rows. For classes, networks of 283 to 1,134 parameters on 48
# to 476 rows take it to the optimum in .8 of the time of Levenberg-Marquardt (.5 to 1), and their short trainings
# without some of the rows end as near to it in a third (.03 to .4).
_MANY, _WORK_OF_MANY, _WORK_OF_CLASSES = 400, 5e8, 1e7
# Rows x parameters of one pass; L-BFGS takes some thousands of passes for a network, a few seconds in all.
_PASS_WORK = 5e6


def choose(objective: TrainingObjective) -> tuple[Solver, str]:
    """The solver for an objective by model, rows and parameters, and why."""
    P, n = objective.n_params, objective.rows.n_rows
    size = f"{count(P, 'parameter')} and {count(n, 'row')}"
    summed = _SUMMED if objective.is_quadratic else _MATRIX  # a quadratic objective takes one such pass, others several
    if objective.is_convex and objective.rows.rereads and summed < P <= _SAMPLED:
        return LBFGS(sample_below=P + 1), (
            f"a perceptron with {size} that are read again for every pass: L-BFGS, since on the curvature of a sample "
            "it needs few passes"
        )
    if objective.is_linear and objective.loss.quadratic:
        if P <= 5 * _MATRIX:
            return Newton(), f"a quadratic objective in {P:,} parameters: one Newton step solves it"
        return (
            NewtonCG(),
            f"a quadratic objective in {P:,} parameters: too many for a matrix, so by conjugate gradients",
        )
    if objective.is_linear:
        # A loss that is not convex has negative curvature, which only the exact Hessian shows.
        work = _HESSIAN_WORK if objective.is_convex else 20 * _GAUSS_NEWTON_WORK
        if P <= _MATRIX and n * P**2 <= work:
            return (
                Newton(),
                f"a perceptron with {size}: the exact Hessian is cheap and a few steps are enough",
            )
        sampled = LBFGS().sample_below > P
        reason = "on the curvature of a sample it needs few passes" if sampled else "it needs no matrix"
        return LBFGS(), f"a perceptron with {size}: L-BFGS, since {reason}"
    work, kept = n * objective.network.n_outputs * P**2, objective.rows.in_process and not objective.rows.rereads
    of_classes = objective.loss.task == "classification" and work > _WORK_OF_CLASSES
    by_gradients = kept and n * P <= _PASS_WORK and (of_classes or (P > _MANY and work > _WORK_OF_MANY))
    if P <= _MATRIX and work <= _GAUSS_NEWTON_WORK and not by_gradients:
        return (
            LevenbergMarquardt(),
            f"a network with {size}: small enough for Gauss-Newton curvature at every step",
        )
    if n * P <= _PASS_WORK:
        return LBFGS(), f"a network with {size}: many steps without a matrix of curvature are quicker than few with it"
    if not objective.rows.in_process:
        return LBFGS(), f"a network with {size} on a cluster, which gives sums and no batches: L-BFGS needs only those"
    return Stochastic(), (
        f"a network with {size}: so large that the many passes to an optimum would take long, so it is trained on "
        "batches and stopped when an inner split of the training rows stops improving; the solver 'lbfgs' goes to "
        "the optimum"
    )


def solver_named(solver: str | Solver, objective: TrainingObjective) -> tuple[Solver, str]:
    """A solver from a name, "auto" or a solver object, and why it was chosen."""
    if isinstance(solver, Solver):
        return _checked(solver, objective), "given by the user"
    if solver == "auto":
        return choose(objective)
    if isinstance(solver, str) and solver in SOLVERS:
        return _checked(SOLVERS[solver](), objective), "named by the user"
    known = ", ".join(repr(name) for name in ("auto", *SOLVERS))
    raise InputError(f"solver={solver!r} is not known: choose one of {known}, or a solver object.")


def _checked(solver: Solver, objective: TrainingObjective) -> Solver:
    """The solver; an InputError where it draws single rows and the rows give only sums."""
    if "batches" in solver.needs and "batches" not in objective.offers:
        others = ", ".join(repr(name) for name in SOLVERS if name != Stochastic.name)
        raise InputError(
            f"solver='stochastic' draws batches of single rows, and rows on a cluster give only sums: choose one of "
            f"{others}."
        )
    return solver
