"""Evaluation questions with their slices: prompts, right answers, and what to compare them with.

A prompt ends where the answer begins; the answer is all that is to be said until <doc>. Beside the
answer stands the same answer in the other language, for three bins: right in the prompt's language,
right in the other, wrong. Where the two coincide (shared words) the item is `ambiguous`. Of more
than two languages, the other is the base, and to the base its first twin.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.key import key
from data.language import THE, Leaf, inventory
from data.meaning import Chat, Fact, Meaning, Question, Quiz, Story
from data.speaker import Speaker, speaker
from data.task import ARITIES, TASKS, held_out
from data.tokenizer import Tokenizer
from data.world import DIRECTIONS

CONSTRUCTS = {"story": Story, "quiz": Quiz, "chat": Chat}


@dataclass(frozen=True, eq=False)
class Probe:
    """N questions. `answers` and `other` end where zeros (<doc>) begin.

    `candidates` holds, by type and language ("y L2"), the tokens of every entity of the type: item
    i is to be compared with those named `slices["candidates"][i]`, its answer is row `gold[i]`.
    `openers` holds, by role and language ("answer L1", "question L2"), the ids that begin one."""

    prompts: np.ndarray  # (N, P) int32, left-padded with 0
    lengths: np.ndarray  # (N)
    answers: np.ndarray  # (N, A) int32, padded with 0
    other: np.ndarray  # (N, A) int32, padded with 0
    slices: dict[str, np.ndarray]
    gold: np.ndarray | None = None  # (N)
    candidates: dict[str, np.ndarray] = field(default_factory=dict)
    openers: dict[str, np.ndarray] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """The slices, one row a question, in the order of `prompts`."""
        return pa.table(self.slices)


@dataclass(frozen=True)
class _Item:
    prompt: list[int]
    answer: list[int]
    other: list[int]
    slices: dict


def facts(corpus: Corpus) -> Probe:
    """Every fact as a statement to complete, in both languages and the directions in which its
    relation may be asked: homes forward only.

    Slices: fact, relation, group, language, direction, names (shared, own, or mixed: whether its
    entities have the same form in all languages), stated (in pretraining, in this very cell)."""
    world, both = corpus.world, speaker(corpus.pair, corpus.world)
    directions = {r.name: r.asked for r in world.relations}
    items, gold = [], []
    for fact in range(len(world.facts.group)):
        relation, subject, object, _ = world.fact(fact)
        for language in range(len(corpus.pair.names)):
            for direction in directions[relation]:
                focus, said = (subject, object) if direction == 0 else (object, subject)
                meaning = Fact(relation, subject, object, focus)
                slices = _fact_slices(corpus, fact, language, direction)
                slices["candidates"] = f"{both.kind[said]} {corpus.pair.names[language]}"
                items.append(_item(corpus, meaning, language, slices))
                gold.append(inventory(world)[both.kind[said]].index(said))
    return replace(_probe(items), gold=np.array(gold), candidates=_candidates(corpus))


def in_context(corpus: Corpus, groups: tuple[str, ...] = ("G7",)) -> Probe:
    """A statement and, in the same document, a query of the same fact: told and asked in either
    direction. No training document holds two statements, so this asks for more than recall.

    Slices as of `facts`, and `told`: the direction of the statement."""
    world, both = corpus.world, speaker(corpus.pair, corpus.world)
    chosen = {i for i, group in enumerate(world.groups) if group.name in groups}
    items, gold = [], []
    for fact in range(world.pairs):
        if world.facts.group[fact] not in chosen:
            continue
        relation, *entities, _ = world.fact(fact)
        for language, told, direction in np.ndindex(len(corpus.pair.names), 2, 2):
            statement = both.render(Fact(relation, *entities, entities[told]), language)
            slices = _fact_slices(corpus, fact, language, direction) | {"told": DIRECTIONS[told]}
            said = entities[1 - direction]
            slices["candidates"] = f"{both.kind[said]} {corpus.pair.names[language]}"
            asked = Fact(relation, *entities, entities[direction])
            items.append(_item(corpus, asked, language, slices, context=statement))
            gold.append(inventory(world)[both.kind[said]].index(said))
    if not items:
        names = [group.name for group in world.groups]
        raise ValueError(f"groups={groups} has no facts; choose among {names}")
    return replace(_probe(items), gold=np.array(gold), candidates=_candidates(corpus))


def tasks(corpus: Corpus, register: str, items: int = 16, seed: int = 0) -> Probe:
    """`items` questions of each list task in a register ("story", "quiz", "chat"), the same ones in
    both languages and every register.

    Slices: task, register, language, arguments (2, 3, 4), held_out (training never says these
    arguments to this task: all items of 3 or 4), ambiguous (both languages answer alike), item.

    >>> from data.feature import Lexicon
    >>> from data.language import Pair
    >>> from data.world import World
    >>> corpus = Corpus(World(), Pair((Lexicon(0.3),)))
    >>> asked = tasks(corpus, "chat", items=1)
    >>> [corpus.tokenizer.decode(part[1]) for part in (asked.prompts, asked.answers, asked.other)]
    ... # doctest: +NORMALIZE_WHITESPACE
    ['<doc> <doc> <u> kami fibo tiho mado <a>',
     'mado tiho fibo <doc> <doc> <doc> <doc> <doc>',
     'mado tiho viru <doc> <doc> <doc> <doc> <doc>']
    """
    if register not in CONSTRUCTS:
        raise ValueError(f"register={register!r} asks nothing; choose among {[*CONSTRUCTS]}")
    rng = np.random.Generator(np.random.Philox(key=key("probe", seed)))
    drawn = [_question(rng, t, corpus.world.nouns) for t in range(len(TASKS)) for _ in range(items)]
    asked = []
    for language, name in enumerate(corpus.pair.names):
        for i, (question, spared) in enumerate(drawn):
            slices = dict(task=question.task, register=register, language=name)
            slices |= dict(arguments=len(question.args), held_out=spared, item=i)
            asked.append(_item(corpus, CONSTRUCTS[register](question), language, slices))
    return replace(_probe(asked), openers=_openers(corpus))


def completion(records: Sequence[tuple[str, str]], tokenizer: Tokenizer, **slices) -> Probe:
    """Real text to be completed: (prompt, completion) pairs; `slices` are columns or constants."""
    columns = {name: np.broadcast_to(value, len(records)) for name, value in slices.items()}
    items = []
    for i, (prompt, answer) in enumerate(records):
        ids = tokenizer.encode(answer)
        own = {name: column[i] for name, column in columns.items()}
        items.append(_Item([0, *tokenizer.encode(prompt)], ids, ids, own))
    return _probe(items)


def _fact_slices(corpus: Corpus, fact: int, language: int, direction: int) -> dict:
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


def _question(rng: np.random.Generator, task: int, nouns: int) -> tuple[Question, bool]:
    """A question of any number of arguments, of those kept for evaluation where there are such."""
    count = int(rng.choice(ARITIES))
    while True:
        args = rng.permutation(nouns)[: max(ARITIES)]
        spared = bool(held_out(np.array([task]), np.array([count]), args[:, None]))
        if spared or count < 3:
            return Question(TASKS[task], tuple(f"noun{a}" for a in args[:count])), spared


def _item(
    corpus: Corpus, meaning: Meaning, language: int, slices: dict, context: tuple[str, ...] = ()
) -> _Item:
    both = speaker(corpus.pair, corpus.world)
    leaves = both.leaves(meaning, language)
    begin = next(i for i, leaf in enumerate(leaves) if leaf.answer)
    if any(leaf.given for leaf in leaves[begin:]):
        raise ValueError(
            f"{both.render(meaning, language)} says its answer before all that is given, so it "
            "cannot be asked by completion; choose an order with the subject before the object, or "
            "no PossessorFirst"
        )
    prompt = [0, *_encode(corpus, context), *_encode(corpus, _words(both, leaves[:begin]))]
    answer = _encode(corpus, _words(both, leaves[begin:]))
    other = _encode(corpus, _words(both, _translated(both, leaves[begin:])))
    return _Item(prompt, answer, other, slices | {"ambiguous": answer == other})


def _translated(both: Speaker, leaves: list[Leaf]) -> list[Leaf]:
    """The answer in the other language's words, with no article where that language has none."""
    turned = [leaf._replace(language=int(not leaf.language)) if leaf.answer else leaf
              for leaf in leaves]  # fmt: skip
    return [x for x in turned if x.concept != THE or both.languages[x.language].articles]


def _words(both: Speaker, leaves: list[Leaf]) -> tuple[str, ...]:
    return tuple(map(both.word, leaves))


def _encode(corpus: Corpus, words: Sequence[str]) -> list[int]:
    return corpus.tokenizer.encode("".join(f" {word}" for word in words))


def _candidates(corpus: Corpus) -> dict[str, np.ndarray]:
    """Every entity of a type as the answer of a statement says it, in the answer's case."""
    both, kinds, candidates = speaker(corpus.pair, corpus.world), inventory(corpus.world), {}
    fact = lambda r, focus: Fact(r.name, f"{r.subject}0", f"{r.object}0", f"{focus}0")
    asked = {r.subject: fact(r, r.object) for r in corpus.world.relations if 1 in r.asked}
    asked |= {r.object: fact(r, r.subject) for r in corpus.world.relations if 0 in r.asked}
    for (kind, fact), (i, name) in itertools.product(asked.items(), enumerate(corpus.pair.names)):
        leaf = next(leaf for leaf in both.leaves(fact, i) if leaf.answer)
        words = [both.word(leaf._replace(concept=c)) for c in kinds[kind]]
        candidates[f"{kind} {name}"] = _padded([_encode(corpus, [word]) for word in words])
    return candidates


def _openers(corpus: Corpus) -> dict[str, np.ndarray]:
    both, openers = speaker(corpus.pair, corpus.world), {}
    for i, name in enumerate(corpus.pair.names):
        asked = [construct(Question("first", (noun,))) for construct in CONSTRUCTS.values()
                 for noun in corpus.world.entities("noun")]  # fmt: skip
        said = [next(x for x in both.leaves(m, i) if x.answer) for m in asked]
        for role, leaves in (("answer", said), ("question", [Leaf("question", i)])):
            begin = [_encode(corpus, [both.word(leaf)])[0] for leaf in leaves]
            openers[f"{role} {name}"] = np.unique(begin)
    return openers


def _probe(items: list[_Item]) -> Probe:
    if not items:
        raise ValueError("no items to ask; choose items of 1 or more")
    width = max(len(ids) for item in items for ids in (item.answer, item.other))
    return Probe(
        prompts=_padded([item.prompt for item in items], left=True),
        lengths=np.array([len(item.prompt) for item in items]),
        answers=_padded([item.answer for item in items], width),
        other=_padded([item.other for item in items], width),
        slices={name: np.array([i.slices[name] for i in items]) for name in items[0].slices},
    )


def _padded(rows: list[list[int]], width: int = 0, left: bool = False) -> np.ndarray:
    """Rows as int32 of equal width, zeros where there is none."""
    width = max(width, *map(len, rows))
    pad = lambda row: [0] * (width - len(row))
    return np.array([pad(r) + r if left else r + pad(r) for r in rows], np.int32)
