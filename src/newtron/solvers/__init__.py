"""Six solvers behind one loop."""

from newtron.solvers.auto import SOLVERS, choose, solver_named
from newtron.solvers.base import Progress, Run, Solution, Solver, State, Status, TraceRow, minimize
from newtron.solvers.gradient_descent import GradientDescent
from newtron.solvers.lbfgs import LBFGS
from newtron.solvers.levenberg_marquardt import LevenbergMarquardt
from newtron.solvers.newton import Newton
from newtron.solvers.newton_cg import NewtonCG
from newtron.solvers.stochastic import Stochastic

__all__ = [
    "LBFGS",
    "SOLVERS",
    "GradientDescent",
    "LevenbergMarquardt",
    "Newton",
    "NewtonCG",
    "Progress",
    "Run",
    "Solution",
    "Solver",
    "State",
    "Status",
    "Stochastic",
    "TraceRow",
    "choose",
    "minimize",
    "solver_named",
]
