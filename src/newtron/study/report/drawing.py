"""A network drawn as inline SVG: units are circles, weights lines, thick where large and dashed where negative."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import count, in_html
from newtron.engine.maths.network import Layer

# Units of a layer that are drawn; of a larger layer, those with the largest weights.
_MOST = 12
# The width, the distance between units, the margin and the space for names, in units of the SVG, of which a text is 12
# high.
_WIDTH, _STEP, _MARGIN, _NAMES = 640, 30, 24, 190


def draw_network(
    layers: Sequence[Layer],
    inputs: Sequence[str],
    outputs: Sequence[str],
    title: str = "The network",
    rank: Array | None = None,
) -> str:
    """The figure, with a sentence on the units that are left out. rank: (inputs,) how much each matters; None: as its
    weights are large."""
    shown = [_largest(np.abs(layers[0].W).sum(axis=1) if rank is None else rank)]
    shown += [_largest(np.abs(layer.W).sum(axis=0)) for layer in layers]
    height = 2 * _MARGIN + _STEP * (max(map(len, shown)) - 1)
    x = np.linspace(_NAMES, _WIDTH - 0.75 * _NAMES, len(shown))
    y = [height / 2 + _STEP * (np.arange(len(units)) - (len(units) - 1) / 2) for units in shown]
    parts = [_lines(layer.W[np.ix_(a, b)], x[i : i + 2], y[i], y[i + 1]) for i, (layer, a, b) in _pairs(layers, shown)]
    for place, heights in zip(x, y, strict=True):
        parts += [f'<circle class="u c2" cx="{place:.1f}" cy="{at:.1f}" r="7"/>' for at in heights]
    parts += [_name(inputs[j], x[0] - 14, at, "end") for j, at in zip(shown[0], y[0], strict=True)]
    parts += [_name(outputs[c], x[-1] + 14, at, "start") for c, at in zip(shown[-1], y[-1], strict=True)]
    every = (layers[0].W.shape[0], *(layer.W.shape[1] for layer in layers))
    left = sum(every) - sum(map(len, shown))
    least = "" if rank is None else "of the least relevant columns or "
    which = f"{left:,} of {count(sum(every), 'unit')}, those {least}with the smallest weights"
    more = f"<p>{which}, are not drawn.</p>" if left else ""
    return (
        f'<figure><figcaption>{in_html(title)}</figcaption><svg role="img" '
        f'aria-label="network" viewBox="0 0 {_WIDTH} {height}">{"".join(parts)}</svg></figure>'
        f"<p>Each line is a weight: thick lines are large weights, dashed lines negative ones.</p>{more}"
    )


def _pairs(layers: Sequence[Layer], shown: list[list[int]]) -> list[tuple[int, tuple[Layer, list[int], list[int]]]]:
    return list(enumerate(zip(layers, shown[:-1], shown[1:], strict=True)))


def _largest(size: Array) -> list[int]:
    if len(size) <= _MOST:
        return list(range(len(size)))
    return sorted(np.argsort(-size, kind="stable")[:_MOST].tolist())


def _lines(W: Array, x: Array, left: Array, right: Array) -> str:
    largest = float(np.abs(W).max(initial=0.0)) or 1.0
    found = []
    for j, start in enumerate(left):
        for k, end in enumerate(right):
            width = 0.3 + 3.2 * abs(W[j, k]) / largest
            sign = "c1 n" if W[j, k] < 0.0 else "c0"
            path = f"M{x[0]:.1f} {start:.1f}L{x[1]:.1f} {end:.1f}"
            found.append(f'<path class="w {sign}" stroke-width="{width:.2f}" d="{path}"/>')
    return "".join(found)


def _name(name: str, x: float, y: float, anchor: str) -> str:
    short = name if len(name) <= 24 else name[:23] + "…"
    return f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{in_html(short)}</text>'
