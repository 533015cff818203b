"""What activations and losses are in symbols, step by step, for explanations. The notation is that of
`newtron.explain.show.symbols`: scripts in braces, fractions as {a}/{b} or ∂L/∂w, formulas in a sentence between ⟦ and
⟧."""

from __future__ import annotations

from dataclasses import dataclass

# Add and subtract 1, then factor.
SIGMOID_DERIVED = (
    "σ(z) = {1}/{1 + e^{-z}} = (1 + e^{-z})^{-1}",
    "σ′(z) = {e^{-z}}/{(1 + e^{-z})^{2}} = {1 + e^{-z} - 1}/{(1 + e^{-z})^{2}}",
    "= {1}/{1 + e^{-z}} - {1}/{(1 + e^{-z})^{2}} = {1}/{1 + e^{-z}} · (1 - {1}/{1 + e^{-z}})",
    "= σ(z) (1 - σ(z))",
)

SOFTMAX_DERIVED = (
    "∂ŷ_d/∂z_c = {[c = d] e^{z_d}}/{Σ_e e^{z_e}} - {e^{z_d} e^{z_c}}/{(Σ_e e^{z_e})^{2}}",
    "= [c = d] ŷ_d - ŷ_d ŷ_c = ŷ_d ([c = d] - ŷ_c)",
)


@dataclass(frozen=True)
class Link:
    """How explanations of one output speak of ŷ(z).

    numbers: ŷ from z, <0>. words: what it makes of z. slope_words: why its slope is what it is. cancels: what is left
    of it in ∂L/∂z under the negative log-likelihood. letter: its symbol, in matrices. relation, slope_relation: how ŷ
    follows from z and the slope from ŷ, as `newtron.explain.show.rounding` computes them.
    """

    numbers: str
    words: str
    slope_words: str
    cancels: str
    letter: str
    relation: str
    slope_relation: str


SIGMOID_LINK = Link(
    numbers="{1}/{1 + e^{-<0>}}",
    words="The sigmoid turns the raw prediction into a probability between 0 and 1",
    slope_words="The slope of the sigmoid, derived by adding and subtracting 1 in the numerator and factoring.",
    cancels="The slope of the sigmoid cancels: what is left is the plain error, the same as in regression.",
    letter="σ",
    relation="logistic",
    slope_relation="logistic slope",
)

EXPONENTIAL_LINK = Link(
    numbers="e^{<0>}",
    words="The exponential turns the raw prediction into a mean count, which is above 0",
    slope_words="The exponential is its own derivative.",
    cancels="The slope of the exponential cancels: what is left is the plain error, as with the squared error.",
    letter="exp",
    relation="exponential",
    slope_relation="product",
)


@dataclass(frozen=True)
class ChainRule:
    """How ∂L/∂z comes about as ∂L/∂ŷ · ∂ŷ/∂z, in symbols, for explanations; training uses the product alone.

    link: ŷ from z. by_mean: ∂L/∂ŷ. mean_by_z: ∂ŷ/∂z. by_z: ∂L/∂z. link_derived: how mean_by_z is found, line by line.
    product: how by_z follows from ∂L/∂ŷ · ∂ŷ/∂z (by_mean from the loss, where ŷ = z), line by line. why: this loss
    and no other, in a sentence or two. at_zero, at_one: the loss and by_mean where y is 0 or 1 and a term of them falls
    away. one_output: of a link of one output that is not the identity.
    """

    link: str
    by_mean: str
    mean_by_z: str
    by_z: str
    why: str
    link_derived: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    at_zero: tuple[str, str] | None = None
    at_one: tuple[str, str] | None = None
    one_output: Link = SIGMOID_LINK

    @property
    def is_plain_error(self) -> bool:
        """Whether ∂L/∂z is ŷ - y."""
        return self.by_z in ("-(y - ŷ)", "-(y_c - ŷ_c)")


# The chain rules of the losses, in the order of `newtron.engine.maths.losses`.

SQUARED_ERROR = ChainRule(
    link="ŷ = z",
    by_mean="-(y - ŷ)",
    mean_by_z="1",
    by_z="-(y - ŷ)",
    product=("= ½ · 2 (y - ŷ) · (-1)", "= -(y - ŷ)"),
    why="The square makes every error count as positive and large ones count more. The ½ cancels the 2 that the "
    "derivative of the square brings down; it moves no minimum.",
)

LOG_LOSS = ChainRule(
    link="ŷ = σ(z) = {1}/{1 + e^{-z}}",
    by_mean="-{y}/{ŷ} + {1 - y}/{1 - ŷ}",
    mean_by_z="ŷ (1 - ŷ)",
    by_z="-(y - ŷ)",
    link_derived=SIGMOID_DERIVED,
    product=(
        "= (-{y}/{ŷ} + {1 - y}/{1 - ŷ}) · ŷ (1 - ŷ)",
        "= -y (1 - ŷ) + (1 - y) ŷ = -y + y ŷ + ŷ - y ŷ",
        "= -(y - ŷ)",
    ),
    why="It is minus the logarithm of the probability that the model gave to what happened. Squared error would "
    "keep the factor ŷ (1 - ŷ), which is almost 0 where the model is wrong and sure of it, and would not be "
    "convex; the log loss divides by just that factor.",
    at_zero=("-log(1 - ŷ)", "{1}/{1 - ŷ}"),
    at_one=("-log ŷ", "-{1}/{ŷ}"),
)

SOFTMAX_LOG_LOSS = ChainRule(
    link="ŷ_c = {e^{z_c}}/{Σ_d e^{z_d}}",
    by_mean="-{y_c}/{ŷ_c}",
    mean_by_z="ŷ_d ([c = d] - ŷ_c)",
    by_z="-(y_c - ŷ_c)",
    link_derived=SOFTMAX_DERIVED,
    product=(
        "= Σ_d -{y_d}/{ŷ_d} · ŷ_d ([c = d] - ŷ_c)",
        "= -y_c + ŷ_c Σ_d y_d",
        "= -(y_c - ŷ_c), since Σ_d y_d = 1",
    ),
    why="It is minus the logarithm of the probability that the model gave to the class that came. Dividing by "
    "⟦ŷ_c⟧ cancels the slope of the softmax, so a row that is wrong and sure of it keeps its full gradient.",
)

SIGMOID_SQUARED_ERROR = ChainRule(
    link="ŷ = σ(z) = {1}/{1 + e^{-z}}",
    by_mean="-(y - ŷ)",
    mean_by_z="ŷ (1 - ŷ)",
    by_z="-(y - ŷ) ŷ (1 - ŷ)",
    link_derived=SIGMOID_DERIVED,
    product=("= -(y - ŷ) · ŷ (1 - ŷ)",),
    why="Nothing cancels here: the slope ŷ (1 - ŷ) stays, so a row that is wrong and sure of it has almost no "
    "gradient, and the loss is not convex. The log loss mends both.",
)

SOFTMAX_SQUARED_ERROR = ChainRule(
    link="ŷ_c = {e^{z_c}}/{Σ_d e^{z_d}}",
    by_mean="-(y_c - ŷ_c)",
    mean_by_z="ŷ_d ([c = d] - ŷ_c)",
    by_z="Σ_d -(y_d - ŷ_d) ŷ_d ([c = d] - ŷ_c)",
    link_derived=SOFTMAX_DERIVED,
    product=("= Σ_d -(y_d - ŷ_d) · ŷ_d ([c = d] - ŷ_c)",),
    why="Nothing cancels here: the slope of the softmax stays, so a row that is wrong and sure of it has almost no "
    "gradient, and the loss is not convex. The log loss mends both.",
)

POISSON = ChainRule(
    link="ŷ = e^{z}",
    by_mean="1 - {y}/{ŷ}",
    mean_by_z="ŷ",
    by_z="-(y - ŷ)",
    link_derived=("∂e^{z}/∂z = e^{z} = ŷ",),
    product=("= (1 - {y}/{ŷ}) · ŷ", "= ŷ - y", "= -(y - ŷ)"),
    why="It is minus the logarithm of the probability that Poisson's distribution with the mean ŷ gives to the count "
    "y, less that of a mean that is y itself: half the deviance of the row.",
    at_zero=("ŷ", "1 - {y}/{ŷ}"),
    one_output=EXPONENTIAL_LINK,
)
