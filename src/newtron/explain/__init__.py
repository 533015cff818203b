"""Explanations: how a model comes to its answer, and every derivative of its loss, in symbols and numbers.

They are read from the objects that training uses: `Linearization`, `RowHessians`, and the solvers' own states.
"""

from newtron.explain.build import derive
from newtron.explain.derivation import NOTATIONS, Derivation, Factor, Section, Step, Table
from newtron.explain.point import Answer, Subject, parameter_names

__all__ = [
    "NOTATIONS",
    "Answer",
    "Derivation",
    "Factor",
    "Section",
    "Step",
    "Subject",
    "Table",
    "derive",
    "parameter_names",
]
