"""A scene as SVG, written by hand: it brings its own background, light or dark as the reader's screen is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.pictures.lives import Look
from benchmarks.pictures.scenes import LIMIT, Mark, Scene, clock

from solera.plan.verdict import CONTINUE, FAIL, PASS, SHARED_INCIDENT

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 56, 740, 132, 310
ROW = 17
COLOURS = {
    "ground": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "faint": ("#57606a", "#9198a1"),
    "grid": ("#d0d7de", "#30363d"),
    "candidate": ("#0969da", "#58a6ff"),
    "stable": ("#6e7781", "#9198a1"),
    "limit": ("#cf222e", "#ff7b72"),
    "pass": ("#1a7f37", "#3fb950"),
    "fail": ("#cf222e", "#ff7b72"),
    "shared": ("#9a6700", "#d29922"),
    "open": ("#57606a", "#9198a1"),
}
KINDS = {PASS: "pass", FAIL: "fail", SHARED_INCIDENT: "shared", CONTINUE: "open"}
FONT = "font-family:system-ui,sans-serif"


def draw(scene: Scene) -> str:
    """The whole file."""
    seen, decisive = scene.life()
    end = seen[-1].second
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d">',
        f'<title id="t">{escape(scene.title)}</title>',
        f'<desc id="d">{escape(f"{scene.subtitle}. At {clock(decisive.second)}: {decisive.verdict.verdict}, {decisive.verdict.reason}")}</desc>',
        _style(),
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        _text(16, 26, scene.title, "ink big"),
        _text(16, 46, scene.subtitle, "faint"),
        *_incident(scene, end),
        *_grid(scene.top, end),
        *_series(scene, seen),
        *(line for mark in scene.marks(seen) for line in _mark(mark, scene.top, end)),
        *_legend(scene.with_stable),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style() -> str:
    def rules(dark: bool) -> str:
        fills = "".join(f".{name}{{fill:{pair[dark]}}}" for name, pair in COLOURS.items())
        return fills + "".join(f".{name}-line{{stroke:{pair[dark]}}}" for name, pair in COLOURS.items())

    fixed = f"text{{{FONT};font-size:13px}}.big{{font-size:17px;font-weight:600}}.bold{{font-weight:600}}.line{{fill:none}}.band{{fill-opacity:.2}}"
    return f"<style>{fixed}{rules(dark=False)}@media(prefers-color-scheme:dark){{{rules(dark=True)}}}</style>"


def _x(second: float, end: int) -> float:
    return LEFT + (RIGHT - LEFT) * second / end


def _y(share: float, top: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(share, top) / top


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str, width: float = 1, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="{kind}-line line" stroke-width="{width:g}"{dashes} d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _grid(top: float, end: int) -> Iterator[str]:
    for percent in range(0, math.floor(100 * top + 0.001) + 1, 1 if top <= 0.05 else 2):
        y = _y(percent / 100, top)
        yield _line(LEFT, y, RIGHT, y, "grid", 0.7)
        yield _text(LEFT - 8, y + 4, f"{percent}%", "faint", "end")
    each = next(step for step in (15, 30, 60, 120, 300) if end / step <= 10)
    for second in range(0, end + 1, each):
        yield _text(_x(second, end), BOTTOM + 18, clock(second), "faint", "middle")
    yield _text(RIGHT, BOTTOM + 34, "minutes since the first request", "faint", "end")


def _incident(scene: Scene, end: int) -> Iterator[str]:
    there = scene.world.incident
    if there is not None:
        x, width = _x(there.begins, end), _x(there.ends, end) - _x(there.begins, end)
        yield f'<rect class="shared" fill-opacity=".15" x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{BOTTOM - TOP}"/>'
        yield _text(x - 4, TOP + 16, "both fail", "shared", "end")


def _series(scene: Scene, seen: Sequence[Look]) -> Iterator[str]:
    end, top = seen[-1].second, scene.top
    bands = [(x.second, x.verdict.low, x.verdict.high) for x in seen]
    upper = [(_x(at, end), _y(high, top)) for at, _, high in bands if high is not None]
    lower = [(_x(at, end), _y(low, top)) for at, low, _ in bands if low is not None]
    yield f'<path class="candidate band" d="{_path([*upper, *reversed(lower)])}Z"/>'
    yield _line(LEFT, _y(LIMIT, top), RIGHT, _y(LIMIT, top), "limit", 1.5, "7 5")
    if scene.with_stable:
        shares = [(_x(x.second, end), _y(x.stable.bad / x.stable.total, top)) for x in seen if x.stable.total]
        yield f'<path class="stable-line line" stroke-width="1.2" d="{_path(shares)}"/>'
    shares = [(_x(x.second, end), _y(x.verdict.estimate, top)) for x in seen if x.verdict.estimate is not None]
    yield f'<path class="candidate-line line" stroke-width="2" d="{_path(shares)}"/>'


def _mark(mark: Mark, top: float, end: int) -> Iterator[str]:
    """A line from the words, above the plot, to the candidate's share at that look."""
    kind, x = KINDS[mark.kind], _x(mark.look.second, end)
    y = _y(mark.look.verdict.estimate or 0.0, top)
    side, away = ("end", -6) if x > (LEFT + RIGHT) / 2 else ("start", 6)
    begins = 62 + ROW * mark.row
    yield _line(x, begins, x, y, kind, 1.2)
    yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    for index, words in enumerate(mark.words):
        yield _text(x + away, begins + 12 + ROW * index, words, f"{kind} bold" if index == 0 else "ink", side)


def _legend(with_stable: bool) -> Iterator[str]:
    y, x = HEIGHT - 16, LEFT
    yield _line(x, y - 4, x + 24, y - 4, "candidate", 2)
    yield _text(x + 30, y, "candidate, so far", "ink")
    yield f'<rect class="candidate band" x="{x + 150}" y="{y - 11}" width="24" height="14"/>'
    yield _text(x + 180, y, "its confidence interval", "ink")
    yield _line(x + 340, y - 4, x + 364, y - 4, "limit", 1.5, "7 5")
    yield _text(x + 370, y, "limit", "ink")
    if with_stable:
        yield _line(x + 420, y - 4, x + 444, y - 4, "stable", 1.2)
        yield _text(x + 450, y, "stable, so far", "ink")
