"""The certificate of a fitted model: whether it is an optimum, of what kind, and how far from the best at most.

It claims what was proved and says where nothing was. Its numbers are those of the objective as it was trained (see
`Solution`): of standardised columns where the model standardises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from newtron.engine.base.words import count, power
from newtron.engine.solvers import Solution, Status
from newtron.inference.certificate.endpoint import METHODS, Curvature

# Ends whose objectives differ by no more than this share are one minimum: solvers tell no finer by values.
_SAME = 1e-9
NO_MINIMUM = "it has no minimum"

# From X, y and weights: the certificate anew, whether the model agrees with what was kept of it, and its certificate.
Recompute = Callable[[Any, Any, Any], "tuple[Certificate, bool, Certificate]"]


@dataclass(frozen=True, repr=False)
class Certificate:
    """What is known of the end of a fit. For an average of members: the worst of them, and each in `members`.

    Attributes
    ----------
    converged : bool
        Did every member that predicts reach the tolerance?
    sentence : str
        Whether, or why not.
    nature : str
        "minimum" (convex: the lowest there is; else a local one), "flat" (rounding, or the gradient that is left,
        hides the curvature of some directions, and in all others it is positive), "saddle", "not proved" (no negative
        curvature was found, but not all of it was seen), "plateau" (gradient and curvature vanish together, in every
        direction) or "not stationary" (the training stopped elsewhere).
    convex : bool
        Is every minimum of the objective the lowest?
    value : float
        The objective: mean loss plus penalty.
    gradient_norm : float
        Largest component, relative to the objective's own scale: what `tol` is compared with.
    newton_decrement : float or None
        sqrt(g'H⁻¹g); half its square is the descent that the quadratic model still expects. None where a
        curvature is negative or none was measured.
    loss_gap_bound : float or None
        The objective is proved to be at most this much above the lowest value there is, rounding included.
    no_bound_reason : str
        Why there is none.
    smallest_eigenvalue, largest_eigenvalue : float or None
        Of the objective's Hessian, over the directions that the loss can see.
    method : str
        How these were found: "exact" from the Hessian; "lanczos": of the smallest only an upper, of the largest
        only a lower bound; "none".
    flat_directions : int
        In how many directions rounding, or the gradient that is left, hides the curvature.
    n_iter, evaluations : int
        Iterations (of members: the most), and evaluations of the objective and its derivatives (of members: all).
    starts_at_best, starts : int
        How many starts of this shape reached the lowest objective among them, of how many. Of members: of the
        shape with the lowest objective.
    used : int
        How many members predict.
    members : tuple of Certificate
        Of each member of an average; empty for a single one.
    """

    converged: bool
    sentence: str
    nature: str
    convex: bool
    value: float
    gradient_norm: float
    newton_decrement: float | None
    loss_gap_bound: float | None
    no_bound_reason: str
    smallest_eigenvalue: float | None
    largest_eigenvalue: float | None
    method: str
    flat_directions: int
    n_iter: int
    evaluations: int
    starts_at_best: int = 1
    starts: int = 1
    used: int = 1
    members: tuple[Certificate, ...] = ()
    _recompute: Recompute | None = field(default=None, repr=False, compare=False)

    def verify(self, X: Any, y: Any, sample_weight: Any = None) -> bool:
        """Compute all of it anew from the fitted model and its training data, and compare.

        True when the model, given these data, has the value, the gradient and the curvature that the certificate
        states, to within what rounding explains, and is converged if it says so. False when a coefficient, a
        setting, a row or a weight is another. How many iterations it took cannot be checked.

        X, y, sample_weight: as they were given to `fit`; the order of the rows does not matter.
        Raises ValueError where X has other columns than the model.
        """
        _, agrees, own = self._again(X, y, sample_weight)
        return agrees and self.to_json() == own.to_json()

    def recomputed(self, X: Any, y: Any, sample_weight: Any = None) -> Certificate:
        """The certificate of the model as it is now on these data, with the curvature measured whatever it costs:
        `fit` leaves it out where it would take long beside the training."""
        return self._again(X, y, sample_weight)[0]

    def _again(self, X: Any, y: Any, sample_weight: Any) -> tuple[Certificate, bool, Certificate]:
        if self._recompute is None:
            raise ValueError("this is a part of a certificate: ask the model's own, model.certificate_.")
        return self._recompute(X, y, sample_weight)

    def __repr__(self) -> str:
        return "\n".join(self.sentences())

    def sentences(self) -> list[str]:
        """The certificate in plain words."""
        found = [self.sentence, self._meaning()]
        if self.starts > 1:
            found.append(
                f"{self.starts_at_best} of {self.starts} starts reached the lowest objective found, {self.value:z.6g}."
            )
        return [sentence for sentence in [*found, self._gap(), self._numbers()] if sentence]

    def _meaning(self) -> str:
        if self.convex:
            return self._meaning_convex()
        many = self.used > 1
        n = count(self.flat_directions, "direction")
        return {
            "minimum": f"{'Each member' if many else 'It'} ended where the gradient is zero to the tolerance and "
            "every direction curves upwards: a local minimum. That no lower one exists elsewhere is not proved.",
            "flat": f"{'In a member' if many else 'Here'} the curvature of {n} is zero as far as rounding tells, or "
            "too weak to hold the point, as that of a unit is which is saturated or which the penalty has switched "
            "off, or of coefficients that the rows hardly determine, and all others curve upwards: nothing lower is "
            "seen nearby, but a minimum is not proved.",
            "plateau": "On a plateau nothing tells how near a minimum is, or in which direction: lower values may lie "
            "anywhere beyond it.",
            "saddle": f"{'A member' if many else 'It'} ended on a saddle: in some direction the objective curves "
            "downwards, so it is no minimum.",
            "not proved": "Whether this is a minimum is not proved: "
            + (
                "the gradient is zero to the tolerance, but the curvature was not measured."
                if self.method == "none"
                else "no direction that curves downwards was found, but not every direction could be looked at."
            ),
            "not stationary": self._way_to_go(),
        }[self.nature]

    def _meaning_convex(self) -> str:
        if self.nature == "flat":
            return (
                "The objective is convex, so this is its lowest value to the tolerance; but as far as rounding tells "
                "it is flat in some direction, and other coefficients may fit as well."
            )
        if self.nature == "minimum" and self.method == "exact":
            return "The objective is convex and curved in every direction: it has this one minimum."
        if self.converged:
            return "The objective is convex: a point without a gradient is its minimum."
        return "" if self.no_bound_reason == NO_MINIMUM or self.loss_gap_bound is not None else self._way_to_go()

    def _way_to_go(self) -> str:
        """How far it is from an optimum, where it stopped on the way."""
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
                f"The objective, {self.value:z.6g}, is proved to be at most {self.loss_gap_bound:.2g} above the lowest "
                "value there is."
            )
        if not self.convex and self.converged:
            return ""  # said already
        return (
            f"How far the objective, {self.value:z.6g}, is above its lowest value is not known: {self.no_bound_reason}."
        )

    def _numbers(self) -> str:
        of = "Largest of the members: r" if self.used > 1 else "R"
        parts = [f"{of}elative gradient {power(self.gradient_norm)}"]
        if self.newton_decrement is not None:
            parts.append(f"Newton decrement {power(self.newton_decrement)}")
        if self.smallest_eigenvalue is not None and self.largest_eigenvalue is not None:
            seen = "curvature" if self.method == "exact" else "curvature seen"
            parts.append(
                f"{seen} from {_two(self.smallest_eigenvalue)} to {_two(self.largest_eigenvalue)} (second derivatives "
                "of the objective by the parameters as they were trained)"
            )
        times = f"{count(self.n_iter, 'iteration')}, {count(self.evaluations, 'evaluation')}"
        return f"{', '.join(parts)}; {times}."

    def to_json(self) -> dict[str, Any]:
        """The fields in JSON types, members included; None where there is no finite number."""
        facts = {name: value for name, value in asdict(replace(self, _recompute=None)).items() if name[0] != "_"}
        facts |= {"value": _finite(self.value), "gradient_norm": _finite(self.gradient_norm)}
        facts["members"] = [member.to_json() for member in self.members]
        return facts


def _two(number: float) -> str:
    """Two digits, without a power of ten where that is as short."""
    return f"{number:z.2g}" if not 100.0 <= abs(number) < 1e5 else f"{float(f'{number:.2g}'):,.0f}"


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def certify(solution: Solution, curvature: Curvature, *, convex: bool, separated: bool = False) -> Certificate:
    """The certificate of one training. separated: the classes are proved to be, so that there is no minimum."""
    endless = (separated or solution.status is Status.UNBOUNDED) and not math.isfinite(curvature.loss_gap_bound)
    return Certificate(
        converged=solution.converged,
        sentence=solution.sentence,
        nature="plateau" if solution.status is Status.PLATEAU else _nature(solution.converged, curvature.sign, convex),
        convex=convex,
        value=solution.value,
        gradient_norm=solution.gradient_norm,
        newton_decrement=_finite(curvature.decrement),
        loss_gap_bound=_finite(curvature.loss_gap_bound),
        no_bound_reason=NO_MINIMUM if endless else curvature.no_bound_reason,
        smallest_eigenvalue=_finite(curvature.smallest),
        largest_eigenvalue=_finite(curvature.largest),
        method=curvature.method,
        flat_directions=curvature.flat_directions,
        n_iter=solution.n_iter,
        evaluations=sum(solution.counts.values()),
    )


def _nature(converged: bool, sign: int | None, convex: bool) -> str:
    if not converged:
        return "not stationary"
    if sign is None:
        return "minimum" if convex else "not proved"
    return {1: "minimum", 0: "flat", -1: "flat" if convex else "saddle"}[sign]


def with_starts(certificates: Sequence[Certificate]) -> list[Certificate]:
    """Certificates of the starts of one shape, each told how many of them reached the lowest objective."""
    finite = [c.value for c in certificates if math.isfinite(c.value)]
    best = min(finite, default=math.nan)

    def reaches(certificate: Certificate) -> bool:
        expected = certificate._expected() if certificate.converged else 0.0
        return certificate.value - best <= _SAME * abs(best) + expected

    at_best = sum(reaches(certificate) for certificate in certificates)
    return [replace(c, starts_at_best=at_best, starts=len(certificates)) for c in certificates]


_WORST_FIRST = ("not stationary", "plateau", "saddle", "flat", "not proved", "minimum")


def summarise(certificates: Sequence[Certificate], used: Sequence[bool], recompute: Recompute) -> Certificate:
    """One certificate for a model of members. used: which of them predict."""
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
