"""Plots as SVG: lines on two logarithmic axes, and what was said against what was true. Pure."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 30, 50
_COLOURS = ("#0b6bcb", "#c4320a", "#1f7a1f", "#7f56d9", "#8a6100")

_TICKS = 5
_LEAST_SPOT, _SPOT = 2.0, 8.0  # pixels of a spot's radius

Points = Sequence[tuple[float, float]]


def log_plot(title: str, across: str, up: str, lines: Mapping[str, Points]) -> str:
    """One line and its points for each name; coordinates are above 0. Raises ValueError where there are none."""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    if not xs or min(*xs, *ys, 1) <= 0:
        raise ValueError("A logarithmic plot needs points above 0.")
    place = _Axes(_decades(xs), _decades(ys))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
        *place.grid(),
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{escape(across)}</text>',
        f'<text x="14" y="{_HEIGHT - _BOTTOM}" transform="rotate(-90 14 {_HEIGHT - _BOTTOM})">{escape(up)}</text>',
    ]
    for number, (name, points) in enumerate(lines.items()):
        parts += _line(place, name, sorted(points), _COLOURS[number % len(_COLOURS)], number)
    return "\n".join([*parts, "</svg>", ""])


def reliability_plot(title: str, across: str, up: str, bins: Sequence[tuple[float, float, int]]) -> str:
    """Of each bin the probability that was said, the share that was true, and how many there are, which is the size of its
    spot. On the dashed line they are the same."""
    side = _HEIGHT - _TOP - _BOTTOM
    most = max((n for _, _, n in bins), default=1)
    spots = sorted((round(_LEFT + said * side, 1), round(_TOP + (1 - true) * side, 1), n) for said, true, n in bins)
    ticks = [tick / _TICKS for tick in range(_TICKS + 1)]
    wide = _LEFT + side + _LEFT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {_HEIGHT}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{wide}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
        *(_rule(_LEFT + tick * side, _TOP, _LEFT + tick * side, _TOP + side) for tick in ticks),
        *(_rule(_LEFT, _TOP + tick * side, _LEFT + side, _TOP + tick * side) for tick in ticks),
        *(f'<text x="{_LEFT + t * side}" y="{_TOP + side + 18}" text-anchor="middle">{t:g}</text>' for t in ticks),
        *(f'<text x="{_LEFT - 6}" y="{_TOP + (1 - t) * side + 4}" text-anchor="end">{t:g}</text>' for t in ticks),
        f'<line x1="{_LEFT}" y1="{_TOP + side}" x2="{_LEFT + side}" y2="{_TOP}" stroke="#777" stroke-dasharray="5 4"/>',
        f'<polyline points="{" ".join(f"{x},{y}" for x, y, _ in spots)}" fill="none" stroke="{_COLOURS[0]}"/>',
        *(_spot(x, y, n / most) for x, y, n in spots),
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{escape(across)}</text>',
        f'<text x="14" y="{_HEIGHT - _BOTTOM}" transform="rotate(-90 14 {_HEIGHT - _BOTTOM})">{escape(up)}</text>',
    ]
    return "\n".join([*parts, "</svg>", ""])


def _spot(x: float, y: float, share: float) -> str:
    return f'<circle cx="{x}" cy="{y}" r="{_LEAST_SPOT + _SPOT * math.sqrt(share):.1f}" fill="{_COLOURS[0]}"/>'


class _Axes:
    """Where a point stands in the picture. Bounds are powers of ten."""

    def __init__(self, across: tuple[int, int], up: tuple[int, int]) -> None:
        self._across = across
        self._up = up

    def at(self, x: float, y: float) -> tuple[float, float]:
        (left, right), (low, high) = self._across, self._up
        far = (math.log10(x) - left) / (right - left)
        tall = (math.log10(y) - low) / (high - low)
        return (
            round(_LEFT + far * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - tall * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    def grid(self) -> list[str]:
        parts = []
        for power in range(self._across[0], self._across[1] + 1):
            x, y = self.at(10**power, 10 ** self._up[0])
            parts += [_rule(x, _TOP, x, y), f'<text x="{x}" y="{y + 18}" text-anchor="middle">{_told(power)}</text>']
        for power in range(self._up[0], self._up[1] + 1):
            x, y = self.at(10 ** self._across[0], 10**power)
            parts += [
                _rule(x, y, _WIDTH - _RIGHT, y),
                f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{_told(power)}</text>',
            ]
        return parts


def _line(place: _Axes, name: str, points: Points, colour: str, number: int) -> list[str]:
    spots = [place.at(x, y) for x, y in points]
    path = " ".join(f"{x},{y}" for x, y in spots)
    y = _TOP + 16 + 22 * number
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in spots),
        f'<text x="{_WIDTH - _RIGHT + 14}" y="{y}" fill="{colour}">{escape(name)}</text>',
    ]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#ddd"/>'


def _told(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values, at least one decade apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)
