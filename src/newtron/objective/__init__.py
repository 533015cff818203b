"""What a solver minimises. The only place where loss, network and rows meet."""

from newtron.objective.base import Evaluation, LinePoint, Objective
from newtron.objective.training import TrainingObjective

__all__ = ["Evaluation", "LinePoint", "Objective", "TrainingObjective"]
