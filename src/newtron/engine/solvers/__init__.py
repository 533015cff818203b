"""Six solvers behind one loop."""

from newtron.engine.solvers.auto import SOLVERS, choose, solver_named
from newtron.engine.solvers.gradient_descent import GradientDescent
from newtron.engine.solvers.lbfgs import LBFGS
from newtron.engine.solvers.levenberg_marquardt import LevenbergMarquardt
from newtron.engine.solvers.loop import minimize
from newtron.engine.solvers.newton import Newton
from newtron.engine.solvers.newton_cg import NewtonCG
from newtron.engine.solvers.state import Progress, Run, Solution, Solver, State, Status, TraceRow
from newtron.engine.solvers.stochastic import Stochastic

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
