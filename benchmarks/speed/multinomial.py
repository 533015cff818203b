"""PerceptronClassifier beside the multinomial regressions of scikit-learn and statsmodels: ten classes."""

from __future__ import annotations

from speed import logistic
from speed.family import FLOOR, NEWTRON, Contender, Family, Problem, Record, Round, Size

WORDS = """\
The same with ten classes and softmax. glum has no such family, and liblinear fits one class against the rest, which
is another objective.
"""


class Benchmarks(Family):
    name, title = "multinomial", "Multinomial regression"

    def problems(self, size: Size) -> list[Problem]:
        return [logistic.problem(size.rows(100_000), 50, "float64", "normal", 10)]

    def small(self) -> list[Problem]:
        return [logistic.problem(20_000, 20, "float64", "normal", 5)]

    def contenders(self, problem: Problem) -> list[Contender]:
        return [
            Contender(NEWTRON),
            Contender("lbfgs"),
            Contender("newton-cholesky"),
            Contender("newton-cg"),
            Contender("statsmodels", ("statsmodels",)),
            Contender(FLOOR),
        ]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        X, y = logistic.data(problem.settings)
        if contender == FLOOR:
            return logistic.one_pass(X, problem.settings["classes"])
        return logistic.rounds_of(problem, contender, X, y)

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import best_claims, race_table, verdict

        found = list(records.values())
        target = "3 times faster than the best peer that gets there"
        return "\n\n".join([WORDS, race_table(found, "gradient"), verdict(target, best_claims(found, 3.0))])
