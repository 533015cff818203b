"""What a solver minimises. The only place where loss, network and rows meet."""

from newtron.engine.objective.objective import Evaluation, FirstOrder, LinePoint, Objective, Offer, SecondOrder
from newtron.engine.objective.own import Function, Residuals
from newtron.engine.objective.training import TrainingObjective

__all__ = [
    "Evaluation",
    "FirstOrder",
    "Function",
    "LinePoint",
    "Objective",
    "Offer",
    "Residuals",
    "SecondOrder",
    "TrainingObjective",
]
