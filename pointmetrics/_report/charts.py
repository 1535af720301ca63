"""Histograms and F-score curves as SVG; colours and fonts come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from .views import View

_WIDTH, _HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 14, 44


def ticks(end: float, about: int = 5) -> list[float]:
    """Return round numbers from 0 to ``end``."""
    step = 10 ** math.floor(math.log10(end / about))
    step *= next(m for m in (1, 2, 5, 10) if end / (step * m) <= about)
    return [float(f"{k * step:.6g}") for k in range(int(end / step + 1e-9) + 1)]


class _Axes:
    """A frame from 0 to ``x_end`` and ``y_end``, with labelled ticks."""

    def __init__(self, x_end: float, y_end: float, x_label: str, y_label: str, percent: bool) -> None:
        self.x_end, self.y_end = x_end, y_end
        self.parts: list[str] = []
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        for value in self.y_ticks():
            y, text = self.y(value), f"{value * 100:.4g} %" if percent else f"{value:g}"
            self.parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
            )
        for value in ticks(x_end):
            x = self.x(value)
            self.parts.append(
                f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>'
                f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{value:g}</text>'
            )
        self.parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
            f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}'
            f'</text><text class="y-label" transform="translate(13 {(_TOP + bottom) / 2}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )

    def y_ticks(self) -> list[float]:
        return ticks(self.y_end)

    def x(self, value: float) -> float:
        return _LEFT + value / self.x_end * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.y_end * (_HEIGHT - _TOP - _BOTTOM)

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> None:
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        self.parts.append(f'<polyline class="{kind}" points="{points}"/>')

    def svg(self, kind: str, title: str) -> str:
        where = f'data-left="{_LEFT}" data-right="{_WIDTH - _RIGHT}" data-end="{self.x_end!r}"'
        return (
            f'<svg class="chart {kind}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" '
            f"{where}>{''.join(self.parts)}</svg>"
        )


class _LogAxes(_Axes):
    """Shares from 0.01 % to all on a logarithmic scale; what is below lies on the axis."""

    _DECADES = 4

    def __init__(self, x_end: float, x_label: str, y_label: str) -> None:
        super().__init__(x_end, 1.0, x_label, y_label, percent=True)

    def y_ticks(self) -> list[float]:
        return [10.0**-k for k in range(self._DECADES + 1)]

    def y(self, value: float) -> float:
        height = 1 + math.log10(max(value, 10.0**-self._DECADES)) / self._DECADES
        return _HEIGHT - _BOTTOM - height * (_HEIGHT - _TOP - _BOTTOM)


def histogram(view: View, unit: str) -> str:
    """Draw which share of the points lies how far away, for both directions.

    Where one bin has most of the points, shares are drawn on a logarithmic scale, or nothing else could be seen.
    """
    top = max(float(shares.max()) for shares in view.shares) or 1.0
    label = f"distance to the other cloud ({unit})"
    if top < 0.35:
        axes = _Axes(float(view.edges[-1]), 1.05 * top, label, "share of points", True)
    else:
        axes = _LogAxes(float(view.edges[-1]), label, "share of points (log scale)")
    xs = np.repeat(view.edges, 2).tolist()
    for shares, kind in zip(view.shares, ("from-a", "from-b"), strict=True):
        axes.line(xs, [0.0, *np.repeat(shares, 2).tolist(), 0.0], f"{kind} filled")
    return axes.svg("histogram", "Histogram of distances from A to B and from B to A")


def curve(view: View, unit: str) -> str:
    """Draw F-score, precision and recall over the threshold, with the thresholds that were asked for."""
    end = float(view.thresholds[-1])
    axes = _Axes(end, 1.0, f"threshold ({unit})", "rate", False)
    for threshold in view.asked:
        if threshold <= end:
            x = axes.x(threshold)
            axes.parts.append(
                f'<line class="asked" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}">'
                f"<title>threshold {threshold:g}</title></line>"
            )
    for name in ("recall", "precision", "f-score"):
        axes.line([0.0, *view.thresholds.tolist()], [0.0, *view.rates[name].tolist()], name)
    axes.parts.append(f'<line class="cursor" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" visibility="hidden"/>')
    return axes.svg("curve", "F-score, precision and recall over the threshold")
