"""The certificate of a fitted model: whether it is an optimum, of what kind, and how far it is from the best at most.

A certificate claims only what was proved, and says what was not proved. Its numbers are those of the objective as it
was trained (see `Solution`), with standardised columns where the model standardises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, TypeAlias

from newtron.engine.base.types import Json, Matrix
from newtron.engine.base.words import count, power
from newtron.engine.solvers import Solution, Status
from newtron.inference.certificate.endpoint import METHODS, Curvature, Method
from newtron.inference.certificate.spectrum import Sign

# Two ends whose objectives differ by at most this share are the same minimum: solvers do not resolve values more
# finely.
_SAME = 1e-9
NO_MINIMUM = "it has no minimum"

Nature: TypeAlias = Literal["minimum", "flat", "saddle", "not proved", "plateau", "not stationary"]
# From X, y and weights: the certificate computed anew, whether the model agrees with what was kept of it, and the
# certificate of what was kept.
Recompute: TypeAlias = Callable[[Matrix, object, object], "tuple[Certificate, bool, Certificate]"]


@dataclass(frozen=True, repr=False)
class Certificate:
    """What is proved about the end of a fit. For an average of members these are the worst of all, with the certificate
    of each in `members`.

    Attributes
    ----------
    converged : bool
        True if every member that predicts reached the tolerance.
    sentence : str
        Whether it converged, and if not, why.
    nature : str
        "minimum" (the lowest one if the objective is convex, else a local one), "flat" (the curvature of some
        directions is within rounding, or too weak beside the gradient that is left, and all others curve upwards),
        "saddle", "not proved" (no negative curvature was found, but not all curvature was measured), "plateau"
        (gradient and curvature vanish together, in every direction) or "not stationary" (the training stopped before
        the gradient was zero).
    convex : bool
        True if every minimum of the objective is the lowest.
    value : float
        The objective: mean loss plus penalty.
    gradient_norm : float
        The largest component of the gradient, relative to the objective's own scale. `tol` is compared with it.
    newton_decrement : float or None
        sqrt(g'H⁻¹g); half its square is the descent that the quadratic model still expects. None where a
        curvature is negative or none was measured.
    loss_gap_bound : float or None
        The objective is proved to be at most this much above its lowest value, rounding included.
    no_bound_reason : str
        The reason why there is no such bound; empty where there is one.
    smallest_eigenvalue, largest_eigenvalue : float or None
        Those of the objective's Hessian, over the directions on which the loss depends.
    method : str
        How the eigenvalues were found: "exact" (from the Hessian), "lanczos" (an upper bound of the smallest and a
        lower bound of the largest) or "none".
    flat_directions : int
        The number of directions whose curvature is within rounding, or too weak beside the gradient that is left.
    n_iter, evaluations : int
        The iterations, and the evaluations of the objective and its derivatives. For an average these are the most of
        any member, and the sum over members.
    starts_at_best, starts : int
        How many starts of this shape reached the lowest objective among them, and how many there were. For an average
        they count the shape with the lowest objective.
    used : int
        The number of members that predict.
    members : tuple of Certificate
        The certificate of each member of an average; empty for a single member.
    beside : tuple of str
        Sentences on random intercepts, which were learnt after the members and which the certificate does not cover.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> certificate = model.certificate_
    >>> certificate.nature, certificate.convex, certificate.loss_gap_bound < 1e-12
    ('minimum', True, True)
    >>> certificate.verify(X, y)
    True
    """

    converged: bool
    sentence: str
    nature: Nature
    convex: bool
    value: float
    gradient_norm: float
    newton_decrement: float | None
    loss_gap_bound: float | None
    no_bound_reason: str
    smallest_eigenvalue: float | None
    largest_eigenvalue: float | None
    method: Method
    flat_directions: int
    n_iter: int
    evaluations: int
    starts_at_best: int = 1
    starts: int = 1
    used: int = 1
    members: tuple[Certificate, ...] = ()
    beside: tuple[str, ...] = ()
    _recompute: Recompute | None = field(default=None, repr=False, compare=False)

    def verify(self, X: Matrix, y: object = None, sample_weight: object = None) -> bool:
        """Compute the certificate anew from the fitted model and its training data, and compare.

        True if the model has, on these data, the value, the gradient and the curvature that the certificate states, up
        to rounding, and has converged if the certificate says so. False if a coefficient, a setting, a row or a weight
        has changed. The number of iterations cannot be checked.

        X, y, sample_weight: as they were given to `fit`; the order of the rows does not matter. Or the FileRows or
        ClusterRows alone that were given to `fit_rows`.
        Raises ValueError where X has other columns than the model, and TypeError where y is missing, or is given beside
        rows that have a target of their own.
        """
        _, agrees, own = self._again(X, y, sample_weight)
        return agrees and self.to_json() == own.to_json()

    def recomputed(self, X: Matrix, y: object = None, sample_weight: object = None) -> Certificate:
        """The certificate of the model as it is now, on these data, with the curvature measured whatever it costs.
        `fit` does not measure it where this would take long beside the training."""
        return self._again(X, y, sample_weight)[0]

    def _again(self, X: Matrix, y: object, sample_weight: object) -> tuple[Certificate, bool, Certificate]:
        if self._recompute is None:
            raise ValueError("this is the certificate of one member: use the model's own, model.certificate_.")
        return self._recompute(X, y, sample_weight)

    def __repr__(self) -> str:
        return "\n".join(self.sentences())

    def sentences(self) -> list[str]:
        """The certificate in sentences."""
        found = [self.sentence, self._meaning()]
        if self.starts > 1:
            found.append(
                f"{self.starts_at_best} of {self.starts} starts reached the lowest objective found, {self.value:z.6g}."
            )
        return [sentence for sentence in [*found, self._gap(), self._numbers(), *self.beside] if sentence]

    def _meaning(self) -> str:
        if self.convex:
            return self._meaning_convex()
        many = self.used > 1
        n = count(self.flat_directions, "direction")
        return {
            "minimum": f"{'Each member' if many else 'It'} ended where the gradient is zero to the tolerance and "
            "every direction curves upwards: a local minimum. That no lower one exists elsewhere is not proved.",
            "flat": f"{'In a member' if many else 'Here'} the curvature of {n} is zero within rounding, or too weak to "
            "prove a minimum, and all other directions curve upwards: nothing lower was found nearby, but a minimum is "
            "not proved. Such directions come from units that are saturated or whose weights the penalty has made "
            "zero, and from coefficients that the rows hardly determine.",
            "plateau": "On a plateau neither gradient nor curvature shows where a minimum is: lower values may lie "
            "anywhere beyond it.",
            "saddle": f"{'A member' if many else 'It'} ended on a saddle: in some direction the objective curves "
            "downwards, so it is no minimum.",
            "not proved": "Whether this is a minimum is not proved: "
            + (
                "the gradient is zero to the tolerance, but the curvature was not measured."
                if self.method == "none"
                else "no direction that curves downwards was found, but not all directions were measured."
            ),
            "not stationary": self._way_to_go(),
        }[self.nature]

    def _meaning_convex(self) -> str:
        if self.nature == "flat":
            return (
                "The objective is convex, so this is its lowest value to the tolerance; but within rounding it is flat "
                "in some direction, and other coefficients may fit as well."
            )
        if self.nature == "minimum" and self.method == "exact":
            return "The objective is convex and curved in every direction: it has this one minimum."
        if self.converged:
            return "The objective is convex, so a point where the gradient is zero is its minimum."
        return "" if self.no_bound_reason == NO_MINIMUM or self.loss_gap_bound is not None else self._way_to_go()

    def _way_to_go(self) -> str:
        """A sentence on the distance from an optimum, where the training stopped before one."""
        whose = "a member's objective" if self.used > 1 else "the objective"
        if self.newton_decrement is not None:
            return f"By the gradient and the curvature there, {whose} would still fall by about {self._expected():.1e}."
        if self.smallest_eigenvalue is not None and self.smallest_eigenvalue < 0.0:
            return "In some direction the objective still curves downwards there: it is not near a minimum."
        return ""

    def _expected(self) -> float:
        return 0.5 * (self.newton_decrement or 0.0) ** 2

    def _gap(self) -> str:
        if self.loss_gap_bound is not None:
            return (
                f"The objective, {self.value:z.6g}, is proved to be at most {self.loss_gap_bound:.2g} above its lowest "
                "value."
            )
        if not self.convex and self.converged:
            return ""  # the sentence on its nature says it
        return (
            f"How far the objective, {self.value:z.6g}, is above its lowest value is not known: {self.no_bound_reason}."
        )

    def _numbers(self) -> str:
        whose = "Largest of the members: r" if self.used > 1 else "R"
        parts = [f"{whose}elative gradient {power(self.gradient_norm)}"]
        if self.newton_decrement is not None:
            parts.append(f"Newton decrement {power(self.newton_decrement)}")
        if self.smallest_eigenvalue is not None and self.largest_eigenvalue is not None:
            seen = "curvature" if self.method == "exact" else "curvature found"
            parts.append(
                f"{seen} from {_two(self.smallest_eigenvalue)} to {_two(self.largest_eigenvalue)} (second derivatives "
                "of the objective by the parameters as they were trained)"
            )
        times = f"{count(self.n_iter, 'iteration')}, {count(self.evaluations, 'evaluation')}"
        return f"{', '.join(parts)}; {times}."

    def to_json(self) -> dict[str, Json]:
        """The fields in JSON types, with those of the members; None in place of numbers that are not finite."""
        facts = {name: value for name, value in asdict(replace(self, _recompute=None)).items() if name[0] != "_"}
        facts |= {"value": _finite(self.value), "gradient_norm": _finite(self.gradient_norm)}
        facts["members"] = [member.to_json() for member in self.members]
        facts["beside"] = list(self.beside)
        return facts


def _two(number: float) -> str:
    """A number with two digits, and without a power of ten where that is as short."""
    return f"{number:z.2g}" if not 100.0 <= abs(number) < 1e5 else f"{float(f'{number:.2g}'):,.0f}"


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def certify(solution: Solution, curvature: Curvature, *, convex: bool, separated: bool = False) -> Certificate:
    """The certificate of one training. separated: whether the classes are proved to be separated, so that there is no
    minimum."""
    no_minimum = (separated or solution.status is Status.UNBOUNDED) and not math.isfinite(curvature.loss_gap_bound)
    return Certificate(
        converged=solution.converged,
        sentence=solution.sentence,
        nature="plateau" if solution.status is Status.PLATEAU else _nature(solution.converged, curvature.sign, convex),
        convex=convex,
        value=solution.value,
        gradient_norm=solution.gradient_norm,
        newton_decrement=_finite(curvature.decrement),
        loss_gap_bound=_finite(curvature.loss_gap_bound),
        no_bound_reason=NO_MINIMUM if no_minimum else curvature.no_bound_reason,
        smallest_eigenvalue=_finite(curvature.smallest),
        largest_eigenvalue=_finite(curvature.largest),
        method=curvature.method,
        flat_directions=curvature.flat_directions,
        n_iter=solution.n_iter,
        evaluations=sum(solution.counts.values()),
    )


def _nature(converged: bool, sign: Sign | None, convex: bool) -> Nature:
    if not converged:
        return "not stationary"
    if sign is None:
        return "minimum" if convex else "not proved"
    if sign == 1:
        return "minimum"
    return "flat" if sign == 0 or convex else "saddle"


def with_starts(certificates: Sequence[Certificate]) -> list[Certificate]:
    """The certificates of all starts of one shape, with the number of starts that reached the lowest objective."""
    finite = [c.value for c in certificates if math.isfinite(c.value)]
    best = min(finite, default=math.nan)

    def reaches(certificate: Certificate) -> bool:
        expected = certificate._expected() if certificate.converged else 0.0
        return certificate.value - best <= _SAME * abs(best) + expected

    at_best = sum(reaches(certificate) for certificate in certificates)
    return [replace(c, starts_at_best=at_best, starts=len(certificates)) for c in certificates]


# The natures of members, from the worst to the best: that of an average is the worst of its members.
_WORST_FIRST: tuple[Nature, ...] = ("not stationary", "plateau", "saddle", "flat", "not proved", "minimum")


def certificate_of_members(
    certificates: Sequence[Certificate], used: Sequence[bool], recompute: Recompute
) -> Certificate:
    """The certificate of a model from those of its members. used: which members predict."""
    best = min(certificates, key=lambda c: c.value if math.isfinite(c.value) else math.inf)
    if len(certificates) == 1:
        return replace(best, _recompute=recompute)
    judged = [c for c, has_part in zip(certificates, used, strict=True) if has_part]
    poor = [c for c in judged if not c.converged]
    all_predict = len(judged) == len(certificates)
    part = "" if all_predict else f" that predict, of {len(certificates):,} trained,"
    who = f"{count(len(judged), 'member')}{part}"
    if len(judged) == 1:
        sentence = f"The best of {len(certificates)} members: {judged[0].sentence}"
    elif poor:
        reasons = " ".join(dict.fromkeys(c.sentence for c in poor))
        sentence = f"{len(judged) - len(poor)} of {who} converged. Of the others: {reasons}"
    else:
        sentence = f"Both members{part} converged." if len(judged) == 2 else f"All {who} converged."
    return Certificate(
        converged=not poor,
        sentence=sentence,
        nature=min((c.nature for c in judged), key=_WORST_FIRST.index),
        convex=all(c.convex for c in judged),
        value=best.value,
        gradient_norm=max(c.gradient_norm for c in judged),
        newton_decrement=_extreme(max, [c.newton_decrement for c in judged]),
        loss_gap_bound=_extreme(max, [c.loss_gap_bound for c in judged]),
        no_bound_reason=next((c.no_bound_reason for c in judged if c.no_bound_reason), ""),
        smallest_eigenvalue=_extreme(min, [c.smallest_eigenvalue for c in judged]),
        largest_eigenvalue=_extreme(max, [c.largest_eigenvalue for c in judged]),
        flat_directions=max(c.flat_directions for c in judged),
        method=min((c.method for c in judged), key=METHODS.index),
        n_iter=max(c.n_iter for c in certificates),
        evaluations=sum(c.evaluations for c in certificates),
        starts_at_best=best.starts_at_best,
        starts=best.starts,
        used=len(judged),
        members=tuple(certificates),
        _recompute=recompute,
    )


def _extreme(of: Callable[[list[float]], float], numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return of(known) if len(known) == len(numbers) and known else None
