"""Figures as SVG text: every seed a dot, chance marked, the same bytes from the same numbers.

Functions take plain arrays and return an `<svg>` string; what to draw is the experiment's business.
"""

import io
import re
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.figure import Figure

matplotlib.use("Agg")
STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, small
    "svg.hashsalt": "diglossia",  # same numbers, same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "axes.axisbelow": True,
    "legend.frameon": False,
}
ROW = 6  # panels
DASHES = ("-", "--", ":")
# Eight that also the colour-blind tell apart (Petroff 2021, 2107.02270).
COLORS = tuple(matplotlib.style.library["petroff8"]["axes.prop_cycle"].by_key()["color"])
BINS = {"right": "#2a9d8f", "other": "#e9b44c", "wrong": "#d9d9d9"}


def _canvas(panels: int, width: float, height: float, **share) -> tuple[Figure, list]:
    """Panels side by side; more than ROW of them in rows of about as many."""
    rows = -(-panels // ROW)
    columns = -(-panels // rows)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **share).ravel()
        for empty in axes[panels:]:
            empty.set_visible(False)
        for axis in axes[:panels]:  # who shares an axis shows its numbers still
            axis.xaxis.set_tick_params(labelbottom=True)
        return figure, list(axes[:panels])


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with matplotlib.rc_context(STYLE):
        # Tight: an axis's label may be wider than its panel.
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    # matplotlib's metadata name their vocabularies by URL; a self-contained page needs neither.
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)


def curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple]]],
    ylabel: str = "loss (nats)",
    xlabel: str = "step",
) -> str:
    """Lines over steps, a dot for one of a single step. panels: title -> label -> one
    (steps, values) a seed. A label looks the same in all panels; those beyond the colours are
    dashed."""
    figure, axes = _canvas(len(panels), 4.2, 2.8, sharey=True)
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    drawn = {}  # label -> a line of it
    with matplotlib.rc_context(STYLE):
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            for label, seeds in lines.items():
                i = labels.index(label)
                dashes = DASHES[i // len(COLORS) % len(DASHES)]
                look = dict(color=COLORS[i % len(COLORS)], ls=dashes, lw=1, alpha=0.8)
                for steps, values in seeds:
                    mark = "o" if len(steps) == 1 else None
                    (drawn[label],) = axis.plot(steps, values, **look, marker=mark)
            axis.set(title=title, xlabel=xlabel)
        axes[0].set_ylabel(ylabel)
        columns = min(len(drawn), 3 * min(len(panels), ROW))
        legend = figure.legend(
            drawn.values(), drawn, ncol=columns, loc="outside lower center", fontsize=8
        )
        for line in legend.get_lines():
            line.set_linewidth(2.5)
    return _svg(figure)


def dots(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], bool]]],
    xlabel: str,
    dotted: float | None = None,
    limits: tuple[float, float] | None = None,
    meaning: str = "chance",
) -> str:
    """One row a condition, one dot a seed, a bar at their mean; a line of dots, and its meaning.

    panels: title -> row -> (values by seed, filled). Hollow dots are cells that training never saw.
    """
    rows = list(dict.fromkeys(row for panel in panels.values() for row in panel))
    height = 0.8 + 0.34 * len(rows)
    labels = 0.08 * max(map(len, rows), default=0)  # inches, which the panels share
    width = 2.3 + labels / len(panels)
    figure, axes = _canvas(len(panels), width, height, sharey=True, sharex=True)
    with matplotlib.rc_context(STYLE):
        for axis, (title, panel) in zip(axes, panels.items(), strict=True):
            for row, (values, filled) in panel.items():
                y, color = rows.index(row), COLORS[0] if filled else COLORS[1]
                spread = y + np.linspace(-0.15, 0.15, len(values)) * (len(values) > 1)
                face = color if filled else "white"
                axis.scatter(values, spread, s=22, facecolor=face, edgecolor=color, zorder=3)
                axis.plot([np.mean(values)] * 2, [y - 0.32, y + 0.32], color=color, lw=2, alpha=0.6)
            if dotted is not None:
                axis.axvline(dotted, color="#555", lw=1, ls=":")
            label = xlabel if dotted is None else f"{xlabel} (dotted: {meaning})"
            axis.set(title=title, xlabel=label, ylim=(len(rows) - 0.5, -0.5))
            axis.set_yticks(range(len(rows)), rows)
        if limits is not None:
            axes[0].set_xlim(limits)
    return _svg(figure)


def decided(
    interval: tuple[float | None, float | None, float | None],
    regions: Mapping[str, Sequence[Sequence[float | None]]],
    reference: float | None = None,
) -> str:
    """An estimate in its interval (value, low, high), small enough for a table, before the regions
    (low, high) of every verdict, which the page's style colours by the verdict's name; a tick where
    the reference is. None is no number, and no end of a region."""
    ends = [x for found in regions.values() for region in found for x in region]
    known = [x for x in (*interval, reference, *ends) if x is not None]
    middle, half = (max(known) + min(known)) / 2, (max(known) - min(known)) / 2 or 0.5
    left, width, height = middle - 1.2 * half, 2.4 * half, 18

    def at(value: float | None, missing: float) -> str:
        return f"{160 * (missing if value is None else (value - left) / width):.1f}"

    shapes = [
        f"<path class='{verdict}' d='M{at(low, 0)} 0H{at(high, 1)}V{height}H{at(low, 0)}Z'/>"
        for verdict, found in regions.items()
        for low, high in found
    ]
    if reference is not None:
        shapes.append(f"<path d='M{at(reference, 0)} 1V{height - 1}' stroke='#555'/>")
    value, low, high = interval
    if value is not None:
        dot = f"<circle cx='{at(value, 0)}' cy='{height / 2}' r='3'/>"
        shapes += [f"<path d='M{at(low, 0)} {height / 2}H{at(high, 1)}' stroke='black'/>", dot]
    box = f"width='160' height='{height}' viewBox='0 0 160 {height}'"
    return f"<svg {box}>{''.join(shapes)}</svg>"


def scatter(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    xlabel: str,
    ylabel: str,
) -> str:
    """Two measurements of the same things, a dot a thing. panels: title -> label -> (x, y)."""
    figure, axes = _canvas(len(panels), 3.4, 3.2, sharex=True, sharey=True)
    with matplotlib.rc_context(STYLE):
        for axis, (title, groups) in zip(axes, panels.items(), strict=True):
            for n, (label, (x, y)) in enumerate(groups.items()):
                color, marker = COLORS[n % len(COLORS)], "os^Dv"[n // len(COLORS) % 5]
                axis.scatter(x, y, s=22, color=color, marker=marker, alpha=0.8, label=label)
            axis.set(title=title, xlabel=xlabel)
            axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(0, -0.16), ncol=2)
        axes[0].set_ylabel(ylabel)
    return _svg(figure)


def three_bins(
    panels: Mapping[str, tuple[Sequence[int | str], np.ndarray, np.ndarray]],
    ceilings: Mapping[str, np.ndarray],
    xlabel: str = "tuning steps",
) -> str:
    """Shares of answers over tuning steps, stacked: right, right in the other language, wrong.

    panels: title -> (steps or arms (N,), right (seeds, N), other (seeds, N)). Dots are the seeds'
    `right`; the dashed line is the ceiling, `right` after tuning on the prompt's language (N,).
    """
    figure, axes = _canvas(len(panels), 2.9, 2.9, sharey=True)
    with matplotlib.rc_context(STYLE):
        for axis, (title, (steps, right, other)) in zip(axes, panels.items(), strict=True):
            x = np.arange(len(steps))
            low, high = right.mean(0), right.mean(0) + other.mean(0)
            axis.fill_between(x, 0, low, color=BINS["right"], alpha=0.75, lw=0)
            axis.fill_between(x, low, high, color=BINS["other"], alpha=0.85, lw=0)
            axis.fill_between(x, high, 1, color=BINS["wrong"], alpha=0.6, lw=0)
            for seed in right:
                axis.plot(x, seed, "o", ms=3.5, color="#134e48", mfc="white", clip_on=False)
            if title in ceilings:
                axis.plot(x, ceilings[title], "--", color="black", lw=1)
            axis.set(title=title, xlabel=xlabel, ylim=(0, 1), xlim=(0, len(steps) - 1))
            axis.set_xticks(x, [str(step) for step in steps])
            axis.grid(False)
        axes[0].set_ylabel("share of answers")
        handles = [matplotlib.patches.Patch(color=color) for color in BINS.values()]
        handles.append(matplotlib.lines.Line2D([], [], color="black", ls="--", lw=1))
        names = ["right, prompt's language", "right, other language", "wrong"]
        names.append("ceiling: tuned on the prompt's language")
        figure.legend(handles, names, ncol=4, loc="outside lower center", fontsize=8)
    return _svg(figure)


def heat(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], label: str) -> str:
    """A table of counts as a heat map, the number in each cell."""
    figure, (axis,) = _canvas(1, 1.6 + 1.15 * len(columns), 0.9 + 0.34 * len(rows))
    with matplotlib.rc_context(STYLE):
        axis.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=max(values.max(), 1) * 1.4)
        for (y, x), value in np.ndenumerate(values):
            axis.text(x, y, f"{value:,.0f}", ha="center", va="center", fontsize=8)
        axis.set_xticks(range(len(columns)), columns)
        axis.set_yticks(range(len(rows)), rows)
        axis.xaxis.tick_top()
        axis.grid(False)
        axis.set_xlabel(label)
    return _svg(figure)
