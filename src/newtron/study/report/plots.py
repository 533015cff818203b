"""Small plots as inline SVG: points, lines and bars on axes with round numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import in_html

# The size of a plot and its margins, in units of the SVG, of which a text is 12 high.
_WIDTH, _HEIGHT = 460, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 14, 12, 46
_TICKS = 5  # on each axis, about
# Larger numbers are left out, because differences of such numbers may overflow.
_LARGEST = 1e300


@dataclass(frozen=True)
class Series:
    """x, y: (n,). kind: "points", "line", "rule" (a thin dashed line) or "bars" (two numbers
    after each other are the ends of an upright bar). color: 0 blue, 1 vermillion, 2 grey. name:
    for the legend, "" for none."""

    x: Array
    y: Array
    kind: str = "points"
    color: int = 0
    name: str = ""


@dataclass(frozen=True)
class _Axis:
    """An axis: maps numbers to places on the page."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False
    whole: bool = False

    def place(self, values: Array) -> Array:
        low, high = (np.log10(self.low), np.log10(self.high)) if self.log else (self.low, self.high)
        given = np.log10(values) if self.log else values
        return np.asarray(self.start + (given - low) / (high - low) * (self.stop - self.start))

    def ticks(self) -> Array:
        if self.log:
            low, high = int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high)))
            found = 10.0 ** np.arange(low, high + 1, max(1, -(-(high - low) // _TICKS)))
        else:
            step = _round_step((self.high - self.low) / _TICKS)
            step = max(step, 1.0) if self.whole else step
            found = np.arange(np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9) + 1) * step
            return np.asarray(found)
        found = found[(found >= self.low) & (found <= self.high)]
        # Within one power of ten the axis names its two ends.
        return np.asarray(found if len(found) > 1 else np.array([self.low, self.high]))


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least the rough step."""
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1.0 - 1e-9)))


def _range(values: Array, log: bool) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if log:
        return (low, high) if high > low * 1.01 else (low / 10.0, high * 10.0)
    room = 0.03 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def plot(
    title: str, x_name: str, y_name: str, series: Sequence[Series], *, log_y: bool = False, whole_x: bool = False
) -> str:
    """One figure. whole_x: x are whole numbers, and so are those on the axis. Numbers that are not finite, nearly
    infinite, or not positive on a logarithmic axis, are left out."""
    kept = [_finite(one, log_y) for one in series]
    kept = [one for one in kept if len(one.x)]
    if not kept:
        return ""
    x_all, y_all = np.concatenate([one.x for one in kept]), np.concatenate([one.y for one in kept])
    x_axis = _Axis(*_range(x_all, False), _LEFT, _WIDTH - _RIGHT, whole=whole_x)
    y_axis = _Axis(*_range(y_all, log_y), _HEIGHT - _BOTTOM, _TOP, log_y)
    parts = [_grid(x_axis, y_axis, x_name, y_name)]
    for one in kept:
        parts.append(_drawn(one, x_axis.place(one.x), y_axis.place(one.y)))
    named = [one for one in kept if one.name]
    legend = "".join(f'<span class="k c{one.color}">{in_html(one.name)}</span>' for one in named)
    return (
        f"<figure><figcaption>{in_html(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{in_html(title)}">{"".join(parts)}</svg>'
        f"{f'<p class=legend>{legend}</p>' if len(named) > 1 else ''}</figure>"
    )


def _finite(one: Series, log_y: bool) -> Series:
    x, y = np.asarray(one.x, dtype=np.float64), np.asarray(one.y, dtype=np.float64)
    kept = (np.abs(x) < _LARGEST) & (np.abs(y) < _LARGEST) & ((y > 0.0) if log_y else True)
    return Series(x[kept], y[kept], one.kind, one.color, one.name)


def _grid(x_axis: _Axis, y_axis: _Axis, x_name: str, y_name: str) -> str:
    bottom, parts = _HEIGHT - _BOTTOM, []
    for tick, place in zip(x_axis.ticks().tolist(), x_axis.place(x_axis.ticks()).tolist(), strict=True):
        parts.append(f'<path class=g d="M{place:.1f} {_TOP}V{bottom}"/>')
        parts.append(f'<text x="{place:.1f}" y="{bottom + 16}" text-anchor="middle">{_tick(tick)}</text>')
    for tick, place in zip(y_axis.ticks().tolist(), y_axis.place(y_axis.ticks()).tolist(), strict=True):
        parts.append(f'<path class=g d="M{_LEFT} {place:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{place + 4:.1f}" text-anchor="end">{_tick(tick)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class=a x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{in_html(x_name)}</text>')
    half = (_TOP + bottom) / 2
    turn = f'transform="rotate(-90 13 {half})"'
    parts.append(f'<text class=a x="13" y="{half}" text-anchor="middle" {turn}>{in_html(y_name)}</text>')
    return "".join(parts)


def _tick(value: float) -> str:
    return f"{value:z,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:z.4g}"


def _drawn(one: Series, x: Array, y: Array) -> str:
    if one.kind == "points":
        dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        return f'<path class="p c{one.color}" d="{dots}"/>'
    if one.kind == "bars":
        tops = zip(x[::2].tolist(), y[::2].tolist(), y[1::2].tolist(), strict=True)
        return f'<path class="b c{one.color}" d="{"".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in tops)}"/>'
    if len(x) == 1:  # a line of one point would be nothing
        return f'<path class="p c{one.color}" d="M{x[0]:.1f} {y[0]:.1f}h0"/>'
    line = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return f'<path class="{"r" if one.kind == "rule" else "l"} c{one.color}" d="{line}"/>'
