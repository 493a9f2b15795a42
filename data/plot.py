"""Plots of a survey as SVG text that takes its colours from the page it stands in."""

import io
import re

import matplotlib
import numpy as np
from matplotlib.figure import Figure

_STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, small
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "legend.frameon": False,
    # One odd colour stands for the page's ink, and is replaced by it below.
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), "#010203"
    ),
}
_COLORS = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")


def zipf(words: dict[str, np.ndarray]) -> str:
    """Uses of words by their rank, both on logarithmic axes: a line a language."""

    def draw(axis) -> None:
        for (name, counts), color in zip(words.items(), _cycled(len(words)), strict=True):
            uses = np.sort(counts[counts > 0])[::-1]
            axis.loglog(np.arange(1, len(uses) + 1), uses, color=color, lw=2, label=name)
        axis.set(xlabel="rank of the token", ylabel="uses")
        axis.legend()

    return _svg(draw, "zipf")


def lengths(registers: dict[str, np.ndarray]) -> str:
    """How many documents of each register have how many tokens, one on the other."""
    longest = max(np.flatnonzero(counts).max() for counts in registers.values()) + 1

    def draw(axis) -> None:
        under = np.zeros(longest)
        for (name, counts), color in zip(registers.items(), _cycled(len(registers)), strict=True):
            share = counts[:longest] / sum(counts.sum() for counts in registers.values())
            axis.bar(np.arange(longest), share, 0.9, bottom=under, color=color, label=name)
            under = under + share
        axis.set(xlabel="tokens of a document", ylabel="share of documents")
        axis.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
        axis.legend()

    return _svg(draw, "lengths")


def _cycled(count: int) -> list[str]:
    return [_COLORS[i % len(_COLORS)] for i in range(count)]


def _svg(draw, name: str) -> str:
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        draw(figure.subplots())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    text = out.getvalue()
    # matplotlib's metadata name their vocabularies by URL; a self-contained page needs neither.
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' xmlns:xlink="[^"]*"', "", text).replace("xlink:href", "href")
    text = text.replace("#010203", "currentColor")
    for i, color in enumerate(_COLORS):
        text = text.replace(color, f"var(--c{i})")
    return text
