"""How far apart two languages are, measured on samples and not read from their features."""

import collections
import itertools
from collections.abc import Iterator

import numpy as np

from data.corpus import Corpus
from data.meaning import Dictionary, Meaning, Parallel
from data.speaker import speaker
from data.syntax import Wording

_FORMS = 4000  # concepts whose forms are compared


def distances(corpus: Corpus, rows: int = 200, twin: int = 1) -> dict[str, float]:
    """Distances over the documents of some rows, each said in the base language and in a twin, as
    it was worded when it was drawn. Words that a document has of another language are not counted.
    What the documents say nothing of (all of them dictionary entries, say) is nan.

    overlap of types, of tokens: the share of word forms, and of their uses, that both have
    overlap of stems: the share of uses of concepts whose words are the same but for inflection;
      articles, which are no concepts, do not count
    edit distance: mean Levenshtein distance of a concept's two forms, over the longer one's length,
      of some thousand concepts at most
    order (Kendall tau): agreement of the order in which both languages mention the same concepts,
      1 for the same order and -1 for the reverse, over concepts said once; of a twin whose order is
      free, over the documents that were drawn in it
    inflection: how many bits a form has when its concept is known, more in the twin than the base

    >>> from data.feature import Lexicon, Names
    >>> from data.language import Pair
    >>> from data.world import World
    >>> pair = Pair((Lexicon(0), Names(0.5)))
    >>> {k: round(v, 2) for k, v in distances(Corpus(World(), pair), rows=20).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'overlap of types': 0.19, 'overlap of tokens': 0.12, 'overlap of stems': 0.12,
     'edit distance': 0.48, 'order (Kendall tau)': 1.0, 'inflection (bits)': 0.0}
    """
    both = speaker(corpus.pair, corpus.world)
    said, orders, free = [[], []], [], len(both.languages[twin].orders) > 1
    for drawn, meaning, wording in _documents(corpus, rows):
        # The order of a wording is one that its own language takes.
        worded = lambda i, w=wording, d=drawn: w if i == d else Wording(w.template)
        leaves = [
            [leaf for leaf in both.leaves(meaning, i, worded(i)) if leaf.language == i]
            for i in (0, twin)
        ]
        for uses, line in zip(said, leaves, strict=True):
            uses.extend((leaf.concept, both.word(leaf)) for leaf in line)
        if drawn == twin or not free:
            orders.append(_kendall_tau(*([leaf.concept for leaf in line] for line in leaves)))
    inflection = [_entropy(uses) for uses in said]
    stem, own = both.form[0], both.form[twin]
    stems = [stem[c] == own[c] for c, _ in itertools.chain(*said) if c in stem]
    said = [[word for _, word in uses] for uses in said]
    one, two = map(set, said)
    shared = one & two
    forms = list(zip(both.form[0].values(), both.form[twin].values(), strict=True))
    forms = forms[:: -(-len(forms) // _FORMS)]
    return {
        "overlap of types": _mean([word in shared for word in one | two]),
        "overlap of tokens": _mean([word in shared for word in itertools.chain(*said)]),
        "overlap of stems": _mean(stems),
        "edit distance": _mean([_edits(a, b) / max(len(a), len(b)) for a, b in forms]),
        "order (Kendall tau)": _mean([tau for tau in orders if not np.isnan(tau)]),
        "inflection (bits)": inflection[1] - inflection[0],
    }


def _documents(corpus: Corpus, rows: int) -> Iterator[tuple[int, Meaning, Wording]]:
    """Language, meaning and wording of the documents of some rows: what a parallel one says is said
    once, and a dictionary document is left out, since it has two languages in it already."""
    templates = corpus.tables.templates
    for i in range(rows):
        template = corpus.provenance(i, i + 1)["template"][0]
        for (language, meaning), z in zip(corpus.documents(i), template, strict=False):
            if not isinstance(meaning, Dictionary):
                once = meaning.meaning if isinstance(meaning, Parallel) else meaning
                yield language, once, templates[z].wording


def _mean(values: list) -> float:
    """The mean; nan of none."""
    return float(np.mean(values)) if values else float("nan")


def _entropy(uses: list[tuple[str, str]]) -> float:
    """Bits a word's form has when its concept is known: H(form | concept), over (concept, form)."""
    both, concepts = collections.Counter(uses), collections.Counter(c for c, _ in uses)
    bits = sum(n * np.log2(concepts[concept] / n) for (concept, _), n in both.items())
    return float(bits / len(uses)) if uses else float("nan")


def _kendall_tau(one: list, two: list) -> float:
    """Concordant minus discordant pairs, over all pairs of concepts that both say exactly once."""
    once = [c for c in one if one.count(c) == 1 and two.count(c) == 1]
    rank = [two.index(c) for c in once]
    pairs = [np.sign(b - a) for a, b in itertools.combinations(rank, 2)]
    return _mean(pairs)


def _edits(one: str, two: str) -> int:
    """Levenshtein distance, row by row of the usual table."""
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]
