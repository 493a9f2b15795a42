"""All knobs at once: what is built says what it claims, and what cannot be is refused in a line.

Every other file of this folder turns one knob. Here hypothesis turns them all, at toy sizes.
"""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from data import feature, head, impossible
from data.asking import questions
from data.contact import SCOPE, Contact
from data.contamination import trespasses
from data.corpus import Corpus
from data.coverage import EXPOSURES, Statements
from data.language import Family
from data.meaning import Alias, Chat, Dictionary, Fact, Parallel, Quiz, Say, Story
from data.mixture import Mixture
from data.name import Naming
from data.pack import PACKINGS, mates
from data.relation import BOTH, CLASSES, RELATIONS, SPOUSE, Attribute, Bijection, Composition
from data.search import statements
from data.speaker import speaker
from data.split import HeldOut
from data.task import LISTS
from data.task.every import EVERY
from data.template import REGISTERS
from data.tokenizer import Character
from data.world import FORWARD, REVERSE, Group, Vocabulary, World
from data.zipf import Zipf

FEATURES = {
    "words": (feature.Lexicon(0), feature.Lexicon(0.3), feature.Lexicon(1), feature.Clone()),
    "names": (feature.Names(0), feature.Names(0.5)),
    "kin": (feature.Cognates(), feature.FalseFriends(0.5)),
    "order": (*map(feature.Order, ("SOV", "VSO", "VOS", "OVS", "OSV")), head.SubjectLast(),
              head.VerbLast()),
    "free": (feature.FreeOrder(0.5),),
    "possessor": (feature.PossessorFirst(),),
    "phrases": (head.Postpositions(), head.AdjectiveLast(), head.RelativeFirst(),
                head.ComplementizerLast(), head.PlaceFirst(), head.ObjectsTurned()),
    "case": (feature.Case(2), feature.Case(4)),
    "agreement": (feature.Agreement(), feature.Agreement("gender x number"),
                  impossible.DeterministicShuffle(), impossible.PartialReverse(),
                  impossible.WordHop(), impossible.LocalShuffle(3)),
    "articles": (feature.Articles(),),
    "script": (feature.Script("disjoint"), feature.Script("mapped")),
    "signs": (feature.Punctuation(), feature.Digits(), feature.ChatMarkers()),
}  # fmt: skip
MORE = (
    SPOUSE,
    Attribute("job", "worker", "x", "trade", values=4),
    Bijection("idol", "fan", "x", "z"),
    Composition("origin", "native", "y", "city", stated=(FORWARD,), path=("child", "home")),
)
GROUPS = (
    Group("all", tuple((language, direction) for language in range(2) for direction in BOTH)),
    Group("crossed", ((0, FORWARD), (1, REVERSE))),
    Group("second", ((1, FORWARD),)),
    Group("never"),
)


def some(values, most: int = 4):
    """Some of the values, in their order."""
    chosen = st.lists(st.sampled_from(range(len(values))), unique=True, max_size=most)
    return chosen.map(lambda places: tuple(values[i] for i in sorted(places)))


def often(value, *others):
    """`value` as often as all others together."""
    return st.one_of(st.just(value), st.sampled_from(others))


def compatible(features: tuple) -> tuple:
    """The features that the first, which says whose the words are, does not exclude."""
    apart = lambda one, two: type(one).__name__ not in type(two).excludes
    return tuple(f for f in features if apart(f, features[0]) and apart(features[0], f))


TWIN = (
    some(tuple(FEATURES)[1:], 6)
    .flatmap(
        lambda kinds: st.tuples(*(st.sampled_from(FEATURES[kind]) for kind in ("words", *kinds)))
    )
    .map(compatible)
)


@st.composite
def worlds(draw) -> World:
    relations = (*RELATIONS, *CLASSES, *draw(some(MORE[:3])))
    tasks = draw(often(LISTS, None)) or (
        *LISTS,
        *draw(some(tuple(t for t in EVERY if t not in LISTS))),
    )
    templates = draw(often(1, 2, 5))
    vocabulary = Vocabulary(
        numerals=draw(st.booleans()), verbs=draw(often(0, 2)), templates=templates,
        held_out=draw(st.integers(0, min(templates - 1, 1))), aliases=draw(st.booleans()),
    )  # fmt: skip
    return World(16, 6, draw(often(8, 6)), GROUPS, tasks, draw(st.integers(0, 3)), vocabulary,
                 relations)  # fmt: skip


@st.composite
def mixtures(draw, world: World) -> Mixture:
    registers = draw(often((0.4, 0.35, 0.25, 0), (0.2, 0.2, 0.3, 0.3), (0, 0, 0, 1), (1, 0, 0, 0)))
    cells = [HeldOut(register="story", language=1), HeldOut(register="quiz", language=1)]
    cells += [HeldOut(task, language=i) for task in world.tasks for i in (None, 1)]
    scope = draw(some(SCOPE))
    contact = Contact(draw(often(0, 0.2)), draw(st.booleans()), scope, draw(often(0, 0.3)))
    return Mixture(
        *registers, draw(st.sampled_from((0.2, 0.8))),
        dictionary=draw(often(0.1, 0)) if {"nouns", "names"} & {*scope} else 0,
        plain=draw(often(0.1, 0)) if world.vocabulary.verbs else 0,
        held_out=draw(some(cells, 2)),
        glossed=draw(some(tuple(task.name for task in world.tasks), 2)),
        statements=Statements(draw(st.sampled_from(EXPOSURES)),
                              draw(often(0.3, 0)) if world.vocabulary.aliases else 0),
        contact=contact,
        zipf=draw(often(Zipf(), Zipf(1, 1), Zipf(1.5, 1, permuted=True))),
    )  # fmt: skip


@st.composite
def corpora(draw) -> Corpus | None:
    """A corpus, or None where what is drawn is refused, in one line."""
    try:
        world = draw(worlds())
        twins = draw(st.lists(TWIN, min_size=1, max_size=2))
        naming = draw(often(Naming(), Naming(2), Naming(2, 3)))
        pair = Family(
            tuple(twins), draw(st.integers(0, 3)), naming=naming, tagged=draw(st.booleans())
        )
        first = draw(st.sampled_from((0.5, 0.8, 0)))
        ratio = (first, *((1 - first) / len(twins) for _ in twins))
        mixture = draw(mixtures(world))
        loss, packing = draw(often("all", "response")), draw(often(*PACKINGS))
        if mixture.contact.parallel:
            loss, packing = "all", "packed"
        made = Corpus(world, pair, 96, mixture, ratio, loss, draw(st.integers(0, 3)), None, packing)
        if draw(often(False, True)):
            letters = Character.of(" ".join(made.tables.words))
            made = dataclasses.replace(made, T=600, subword=letters)
        return made
    except ValueError as error:
        WHY.append(str(error))
        assert "\n" not in str(error) and len(str(error)) < 400
        return None


def check(corpus: Corpus | None, rows: int) -> None:
    if corpus is None:
        return
    start = 1000
    made = corpus.rows(start, start + rows)
    for i in range(rows):
        row = corpus.row(start + i)
        assert row.keys() == made.keys()
        for name in made:
            np.testing.assert_array_equal(made[name][i], row[name], err_msg=name)
        said = corpus.documents(start + i)
        assert row["segments"].max() == len(said) == (row["kind"] >= 0).sum()
        for m, (language, meaning) in enumerate(said):
            tokens = row["tokens"][row["segments"] == m + 1]
            own = {name: row[name][m] for name in row if row[name].shape == row["kind"].shape}
            check_document(corpus, language, meaning, tokens, own)
    check_packing(corpus, made)
    check_held_out(corpus, made, start, start + rows)


def check_document(corpus: Corpus, language: int, meaning, tokens: np.ndarray, own: dict) -> None:
    """The tokens are the meaning's rendering, read back as it, and are what provenance says."""
    both, tables = speaker(corpus.pair, corpus.world), corpus.tables
    template = tables.templates[own["template"]]
    words = both.render(meaning, language, template.wording)
    if not own.get("switched"):
        assert tokens.tolist() == [0, *corpus.tokenizer.encode("".join(f" {w}" for w in words))]
    assert both.parse(words, language) == meaning
    assert own["language"] == language == template.language
    assert own.get("also", -1) == (meaning.target if isinstance(meaning, Parallel) else -1)
    said = meaning.meaning if isinstance(meaning, Parallel) else meaning
    kinds = {Fact: 0, Alias: 0, Story: 1, Quiz: 1, Chat: 1, Dictionary: 2, Say: 3}
    registers = dict(
        zip(
            kinds,
            map(
                REGISTERS.index,
                ("statement", "statement", "story", "quiz", "chat", "dictionary", "plain"),
            ),
            strict=True,
        )
    )
    assert (own["kind"], own["register"]) == (kinds[type(said)], registers[type(said)])
    said = said.fact if isinstance(said, Alias) else said
    if isinstance(said, Fact):
        fact = corpus.world.fact(own["fact"])
        assert (said.relation, said.subject, said.object) == fact[:3]
        assert own["direction"] == (said.focus == said.object)
        assert corpus.stated[own["fact"], language, own["direction"]]
    elif own["fact"] >= 0:
        _, *ends, _ = corpus.world.fact(own["fact"])
        told = [leaf.concept for leaf in both.leaves(meaning, language, template.wording)]
        given, answer = ends[:: -1 if own["direction"] else 1]
        assert given in said.question.concepts and answer in told
        assert corpus.stated[own["fact"], language, own["direction"]]


def check_packing(corpus: Corpus, rows: dict[str, np.ndarray]) -> None:
    tokens, segments = rows["tokens"], rows["segments"]
    filled, opening = segments > 0, np.diff(segments, axis=1, prepend=0) > 0
    assert filled[:, 0].all() and (np.diff(segments, axis=1) <= 1).all()
    assert (np.diff(filled.astype(int), axis=1) <= 0).all(), "padding is at the end alone"
    np.testing.assert_array_equal(tokens == 0, opening | ~filled)
    if corpus.packing == "single":
        assert (segments.max(1) == 1).all()
    if corpus.packing == "apart":
        assert not mates(rows["fact"]).any()
    if corpus.loss == "all":
        place = np.arange(corpus.T)
        np.testing.assert_array_equal(
            rows["weights"], (place > 0) & (place <= filled.sum(1, keepdims=True))
        )


def check_held_out(corpus: Corpus, rows: dict[str, np.ndarray], start: int, stop: int) -> None:
    """No cell, item, template or fact that is held out is said."""
    template = rows["template"][rows["template"] >= 0]
    assert not corpus.tables.held_out[template].any()
    found = statements(corpus, rows["tokens"])
    cell = found.fact, corpus.tables.language[found.template], found.direction
    stated = corpus.stated[cell]
    places = np.stack([found.row, found.position, found.fact], 1)
    # What two languages would say alike is found in both.
    assert {*map(tuple, places[~stated].tolist())} <= {*map(tuple, places[stated].tolist())}
    assert trespasses(corpus, start, stop).num_rows == 0
    assert not questions(corpus, rows["tokens"]).kept.any()


WHY = []
SETTINGS = dict(
    deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck),
    phases=[p for p in hypothesis.Phase if p is not hypothesis.Phase.shrink],
)  # fmt: skip


@hypothesis.settings(max_examples=10, **SETTINGS)
@hypothesis.given(corpora())
def test_any_knobs_together_say_what_they_claim(corpus):
    check(corpus, rows=3)


@pytest.mark.slow
@hypothesis.settings(max_examples=150, **SETTINGS)
@hypothesis.given(corpora())
def test_many_knobs_together_say_what_they_claim(corpus):
    check(corpus, rows=4)
