"""Facts in four formats: completed, asked openly, chosen from options, and read from the context.

The same facts, with the same options, so that what differs is the format alone (Berglund et al.
2023 and after: reversal is hard in the first two and easy in the others).
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from data.corpus import Corpus
from data.key import key
from data.meaning import Fact, Meaning, Question, Quiz, Story
from data.probe import Probe, encode, item, padded, probe
from data.relation import BOTH, FORWARD
from data.speaker import speaker
from data.syntax import Wording
from data.task.retrieval import OPTIONS
from data.world import DIRECTIONS, World

FORMATS = ("completion", "open", "choice", "context")

_LOOKED = 8 * OPTIONS  # entities looked at for options like the answer


def facts(
    corpus: Corpus,
    format: str = "completion",
    groups: tuple[str, ...] | None = None,
    seed: int = 0,
    template: int = 0,
    most: int = 2500,
) -> Probe:
    """Facts, of all groups or of `groups`, in all languages and the directions in which their
    relation may be asked: homes forward only. Of every relation and group all facts are asked, or
    `most` of them, drawn by `seed`, where there are more: of a million nobody asks all. Statements
    and questions are worded by any `template`, also one that is held out, and candidates as the
    answer is; what is told before is in the plain one.

    Options answer other facts of the same relation and group. As far as there are such, they have
    one name in all languages if the answer has, and its length: training said them as often, in the
    same places, so a guess is right once in OPTIONS times. Where a group has too few, any others of
    the type follow.

        completion  parent of x is            the statement
        open        question parent x ?
        choice      question choose parent x a b c d ?  with the options in OPTIONS orders, so that
                    the answer stands in every place once
        context     parent of x is y , parent of x is   told in either direction

    All but the first ask only what the world has tasks for (data/task/retrieval.py, context.py):
    with EVERY (data/task/every.py), a choice leaves out relations of fewer than OPTIONS answers, a
    context those of fewer than 6, twice as many as are told. A symmetric fact is asked openly from
    one end alone. Where a type has fewer entities than OPTIONS, the last options are empty.

    Slices: fact, relation, group, language, direction, names (shared, own, or mixed: whether its
    entities have the same form in all languages), stated (in pretraining, in this very cell),
    template, format, place (of the answer among the options), told (the direction of the statement
    in the context, "" where there is none)."""
    if format not in FORMATS:
        raise ValueError(f"format={format!r} is not known; choose among {', '.join(FORMATS)}")
    world, items, options = corpus.world, [], []
    directions = {r.name: r.asked for r in world.relations}
    rng = np.random.Generator(np.random.Philox(key=key("probe", seed)))
    for fact in _chosen(world, groups, seed, most).tolist():
        relation, *ends, _ = world.fact(fact)
        orders = [_order(world, fact, direction, rng) for direction in BOTH]
        for language, direction in itertools.product(
            range(len(corpus.pair.names)), directions[relation]
        ):
            slices = _slices(corpus, fact, language, direction)
            slices |= dict(format=format, template=template)
            right = ends[1 - direction]
            others = _distractors(corpus, right, ends[direction], orders[direction], language)
            for asked, more in _asked(corpus, format, fact, direction, right, others):
                place = more["place"]
                own = (*others[:place], right, *others[place:])
                wording = Wording(template)
                items.append(item(corpus, asked, language, slices | more, (), wording))
                said = [_answer(corpus, asked, language, wording, o, right) for o in own]
                options.append(said + [[]] * (OPTIONS - len(said)))
    if not items:
        raise ValueError(
            f"format={format!r}: no task of the world asks this of its facts; give it those of "
            "data/task/retrieval.py and context.py, or tasks=EVERY of data/task/every.py"
        )
    made = probe(items)
    return replace(made, options=_stacked(options), gold=made.slices["place"])


def _chosen(world: World, groups: tuple[str, ...] | None, seed: int, most: int) -> np.ndarray:
    """The facts that are asked, in their order."""
    known = [group.name for group in world.groups]
    if groups is not None and not (groups and {*groups} <= {*known}):
        raise ValueError(f"groups={groups} are not groups of the world; choose among {known}")
    if most < 1:
        raise ValueError(f"most={most} facts of a group are none to ask; choose 1 or more")
    stream = np.random.Philox(key=key("probe", seed), counter=1 << 192)
    rng, chosen = np.random.Generator(stream), []
    for relation, group in itertools.product(range(len(world.relations)), range(len(known))):
        (own,) = np.nonzero((world.facts.relation == relation) & (world.facts.group == group))
        if groups is None or known[group] in groups:
            chosen.append(own if len(own) <= most else rng.choice(own, most, replace=False))
    return np.sort(np.concatenate(chosen))


def _asked(
    corpus: Corpus, format: str, fact: int, direction: int, right: str, others: list[str]
) -> Iterator[tuple[Meaning, dict]]:
    """What is asked of a fact in a format, and the slices of that."""
    relation, *ends, _ = corpus.world.fact(fact)
    given, none = ends[direction], dict(place=0, told="")
    known = next(r for r in corpus.world.relations if r.name == relation)
    question = Question(known.converse if direction else known.name, (given,))
    match format:
        case "completion":
            yield Fact(relation, *ends, given), none
        case "open" if _may(corpus, question):
            yield Quiz(question), none
        case "choice" if len(others) == OPTIONS - 1:
            for place in range(OPTIONS):
                asked = Question("choose", (question, *others[:place], right, *others[place:]))
                if _may(corpus, asked):
                    yield Quiz(asked), none | dict(place=place)
        case "context":
            for told in (0, 1):
                statement = Fact(relation, *ends, ends[told])
                asked = Question(question.task, (statement, given))
                if _may(corpus, asked):
                    yield Story(asked), none | dict(told=DIRECTIONS[told])


def _may(corpus: Corpus, question: Question) -> bool:
    """Whether a task of the world asks this, and knows an answer: of a symmetric fact it may ask
    about one end alone."""
    tasks = (task for task in corpus.world.tasks if task.takes(question))
    return any(task.answer(corpus.world, question) for task in tasks)


@functools.lru_cache(maxsize=256)
def _answers(world: World, relation: int, group: int, direction: int) -> np.ndarray:
    """The numbers of the entities that answer a relation's facts of one group, each once."""
    facts = world.facts
    own = (facts.relation == relation) & (facts.group == group)
    return np.unique((facts.object if direction == FORWARD else facts.subject)[own])


def _order(
    world: World, fact: int, direction: int, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Entities of the answer's type among which options are looked for, at random: those that
    answer facts of the same relation and group, and any."""
    facts, (_, *ends, _) = world.facts, world.fact(fact)
    kind = _kind(ends[1 - direction])
    alike = _answers(world, int(facts.relation[fact]), int(facts.group[fact]), direction)
    some = lambda n: rng.choice(n, min(n, _LOOKED), replace=False)
    numbers = alike[some(len(alike))], some(world.kinds[kind])
    return tuple([f"{kind}{i}" for i in own.tolist()] for own in numbers)


def _distractors(
    corpus: Corpus, right: str, given: str, order: tuple[list[str], list[str]], language: int
) -> list[str]:
    """OPTIONS - 1 other entities of the answer's type, or as many as there are, and not the one
    that is given: first of the answer's group, then shared between languages if it is, then of as
    many tokens or nearly so."""
    forms, (group, rest) = speaker(corpus.pair, corpus.world).form, order
    length = lambda concept: len(encode(corpus, [forms[language][concept]]))
    shared = lambda concept: len({form[concept] for form in forms}) == 1
    unlike = lambda name: (name not in group, shared(name) != shared(right),
                           abs(length(name) - length(right)))  # fmt: skip
    others = [name for name in dict.fromkeys(group + rest) if name not in (right, given)]
    return sorted(others, key=unlike)[: OPTIONS - 1]


def _answer(
    corpus: Corpus, asked: Meaning, language: int, wording: Wording, option: str, right: str
) -> list[int]:
    """How `option` would be said where `right` is the answer, in the answer's case."""
    both = speaker(corpus.pair, corpus.world)
    leaves = both.leaves(asked, language, wording)
    begin = next(i for i, leaf in enumerate(leaves) if leaf.answer)
    other = lambda concept: option if concept == right else concept
    said = [
        leaf._replace(concept=other(leaf.concept), controller=other(leaf.controller))
        for leaf in leaves[begin:]
    ]
    return encode(corpus, tuple(map(both.word, said)))


def _slices(corpus: Corpus, fact: int, language: int, direction: int) -> dict:
    relation, subject, object, group = corpus.world.fact(fact)
    forms = speaker(corpus.pair, corpus.world).form
    shared = {len({form[entity] for form in forms}) == 1 for entity in (subject, object)}
    return dict(
        fact=fact,
        relation=relation,
        group=group,
        language=corpus.pair.names[language],
        direction=DIRECTIONS[direction],
        names="mixed" if len(shared) == 2 else "shared" if shared.pop() else "own",
        stated=bool(corpus.stated[fact, language, direction]),
    )


def _kind(entity: str) -> str:
    return entity.rstrip("0123456789")


def _stacked(options: list[list[list[int]]]) -> np.ndarray:
    """(N, O, A)"""
    flat = padded([option for own in options for option in own])
    return flat.reshape(len(options), OPTIONS, -1)
