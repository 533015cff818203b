"""Explanations: how a model computes its prediction, and every derivative of its loss, in symbols and numbers.

They are read from the objects that training uses: `Linearization`, `RowHessians`, and the solvers' own states.
"""

from newtron.explain.build import derive
from newtron.explain.derivation import Derivation
from newtron.explain.point import Answer, Names, Subject
from newtron.explain.steps import NOTATIONS, Section, Step, StepFactor, StepTable

__all__ = [
    "NOTATIONS",
    "Answer",
    "Derivation",
    "Names",
    "Section",
    "Step",
    "StepFactor",
    "StepTable",
    "Subject",
    "derive",
]
