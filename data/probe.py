"""Evaluation questions with their slices: prompts, right answers, and what to compare them with.

A prompt ends where the answer begins; the answer is all that is to be said until <doc>. Beside the
answer stands the same answer in the other language, for three bins: right in the prompt's language,
right in the other, wrong. Where the two coincide (shared words) the item is `ambiguous`. Of more
than two languages, the other is the base, and to the base its first twin.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from data.corpus import Corpus
from data.language import Leaf
from data.lexicon import inventory
from data.meaning import Meaning
from data.paradigm import variable
from data.sample import label, sample, shown_before
from data.speaker import Speaker, speaker
from data.syntax import Wording
from data.task import ARITIES
from data.template import CONSTRUCTS
from data.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Probe:
    """N questions. `answers` and `other` end where zeros (<doc>) begin.

    `options` holds answers to compare, of which the one in place `gold` is right: of the same type
    and, as far as there are such, of as many tokens. A guess is right 1 in O times.
    `openers` holds, by role and language ("answer L1", "question L2"), the ids that begin one."""

    prompts: np.ndarray  # (N, P) int32, left-padded with 0
    lengths: np.ndarray  # (N)
    answers: np.ndarray  # (N, A) int32, padded with 0
    other: np.ndarray  # (N, A) int32, padded with 0
    slices: dict[str, np.ndarray]
    options: np.ndarray | None = None  # (N, O, A) int32, padded with 0
    gold: np.ndarray | None = None  # (N)
    openers: dict[str, np.ndarray] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """The slices, one row a question, in the order of `prompts`."""
        return pa.table(self.slices)


@dataclass(frozen=True)
class Item:
    prompt: list[int]
    answer: list[int]
    other: list[int]
    slices: dict


def tasks(
    corpus: Corpus,
    register: str,
    items: int = 16,
    seed: int = 0,
    shots: int = 0,
    examples: int | None = None,
    template: int = 0,
) -> Probe:
    """`items` questions of each task in a register ("story", "quiz", "chat"), the same ones in all
    languages and every register wherever they may be asked; in any `template`, held out or not.

    Before a question stand `shots` examples of its task, answered, each a document in the plain
    template, none of them held out: in the question's own language, or all in language `examples`.

    Slices: task, register, language, arguments, held_out (training never says these arguments to
    this task: all items of list tasks of 3 or 4), shots, examples (their language), ambiguous (both
    languages answer alike), item, template.

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
    >>> asked = tasks(corpus, "quiz", items=1, shots=1)
    >>> corpus.tokenizer.decode(asked.prompts[2, -asked.lengths[2] :])
    '<doc> bipa nude mado lefi dizo ? mado <doc> bipa nude nore bugo ?'
    """
    if register not in CONSTRUCTS:
        raise ValueError(f"register={register!r} asks nothing; choose among {[*CONSTRUCTS]}")
    if shots < 0:
        raise ValueError(f"shots={shots} examples cannot be shown; choose 0 or more")
    if examples is not None and not 0 <= examples < len(corpus.pair.names):
        raise ValueError(
            f"examples={examples} is none of {len(corpus.pair.names)} languages; choose 0 to "
            f"{len(corpus.pair.names) - 1}"
        )
    both, construct, names = (
        speaker(corpus.pair, corpus.world),
        CONSTRUCTS[register],
        corpus.pair.names,
    )
    drawn = sample(corpus.world, items, len(names), seed)
    asked = []
    for language, name in enumerate(names):
        shown = language if examples is None else examples
        for task, own in drawn.items():
            if register not in task.registers or not own[language]:
                continue
            for i, (question, spared) in enumerate(own[language]):
                slices = dict(task=label(task), register=register, language=name)
                slices |= dict(arguments=len(question.concepts), held_out=spared)
                slices |= dict(shots=shots, examples=names[shown], item=i, template=template)
                told = shown_before(corpus.world, task, question, shots, shown, seed + 1 + i)
                context = [both.render(construct(q), shown) for q in told]
                worded = construct(question), language, slices, context, Wording(template)
                asked.append(item(corpus, *worded))
    longest = max((len(item.prompt) + len(item.answer) for item in asked), default=0)
    if longest > corpus.T:
        raise ValueError(
            f"shots={shots} make a prompt and its answer of {longest} tokens, and T={corpus.T}; "
            "choose fewer, or a corpus of longer rows"
        )
    return replace(probe(asked), openers=_openers(corpus))


def completion(records: Sequence[tuple[str, str]], tokenizer: Tokenizer, **slices) -> Probe:
    """Real text to be completed: (prompt, completion) pairs; `slices` are columns or constants."""
    columns = {name: np.broadcast_to(value, len(records)) for name, value in slices.items()}
    items = []
    for i, (prompt, answer) in enumerate(records):
        ids = tokenizer.encode(answer)
        own = {name: column[i] for name, column in columns.items()}
        items.append(Item([0, *tokenizer.encode(prompt)], ids, ids, own))
    return probe(items)


def item(
    corpus: Corpus,
    meaning: Meaning,
    language: int,
    slices: dict,
    context: Sequence[Sequence[str]] = (),
    wording: Wording = Wording(),
) -> Item:
    both = speaker(corpus.pair, corpus.world)
    leaves = both.leaves(meaning, language, wording)
    begin = next(i for i, leaf in enumerate(leaves) if leaf.answer)
    if any(leaf.given for leaf in leaves[begin:]):
        raise ValueError(
            f"{both.render(meaning, language)} says its answer before all that is given, so it "
            "cannot be asked by completion; choose an order with the subject before the object, or "
            "no PossessorFirst"
        )
    documents = *context, _words(both, leaves[:begin])
    prompt = [token for said in documents for token in (0, *encode(corpus, said))]
    answer = encode(corpus, _words(both, leaves[begin:]))
    turned = _translated(both, meaning, leaves[begin].language, wording)
    framed = [leaf for leaf in leaves[begin:] if not leaf.answer]
    other = encode(corpus, _words(both, turned + framed))
    return Item(prompt, answer, other, slices | {"ambiguous": answer == other})


def _translated(both: Speaker, meaning: Meaning, tongue: int, wording: Wording) -> list[Leaf]:
    """The answer, which is in language `tongue`, as the other one says it when it is asked, or when
    it is the one that the question names."""
    other = int(not tongue)
    if question := getattr(meaning, "question", None):
        name = {f"language{tongue}": f"language{other}"}
        args = tuple(name.get(arg, arg) if isinstance(arg, str) else arg for arg in question.args)
        meaning = replace(meaning, question=replace(question, args=args))
    # The order of a wording is one that its own language takes.
    leaves = both.leaves(meaning, other, Wording(wording.template))
    return [leaf for leaf in leaves if leaf.answer]


def _words(both: Speaker, leaves: list[Leaf]) -> tuple[str, ...]:
    return tuple(map(both.word, leaves))


def encode(corpus: Corpus, words: Sequence[str]) -> list[int]:
    return corpus.tokenizer.encode("".join(f" {word}" for word in words))


def _openers(corpus: Corpus) -> dict[str, np.ndarray]:
    """Of the answers to all that may be asked in a language, and of its questions."""
    both, openers = speaker(corpus.pair, corpus.world), {}
    asked = [
        CONSTRUCTS[register](question)
        for task in corpus.world.tasks
        for question in task.shapes(corpus.world, ARITIES)
        for register in task.registers
    ]
    for i, name in enumerate(corpus.pair.names):
        said = {next(x for x in both.leaves(meaning, i) if x.answer) for meaning in asked}
        said = {leaf for first in said for leaf in _filled(both, first)}
        for role, leaves in (("answer", said), ("question", [Leaf("question", i)])):
            begin = {encode(corpus, [both.word(leaf)])[0] for leaf in leaves}
            openers[f"{role} {name}"] = np.array(sorted(begin))
    return openers


def _filled(both: Speaker, leaf: Leaf) -> Iterator[Leaf]:
    """A leaf with every concept of the slot that it says, or whose gender it shows."""
    slot = variable(leaf)
    for concept in inventory(both.world)[slot.kind] if slot else (None,):
        filled = lambda part, concept=concept: concept if part == slot else part
        yield leaf._replace(concept=filled(leaf.concept), controller=filled(leaf.controller))


def probe(items: list[Item]) -> Probe:
    if not items:
        raise ValueError("no items to ask; choose items of 1 or more")
    width = max(len(ids) for item in items for ids in (item.answer, item.other))
    return Probe(
        prompts=padded([item.prompt for item in items], left=True),
        lengths=np.array([len(item.prompt) for item in items]),
        answers=padded([item.answer for item in items], width),
        other=padded([item.other for item in items], width),
        slices={name: np.array([i.slices[name] for i in items]) for name in items[0].slices},
    )


def padded(rows: list[list[int]], width: int = 0, left: bool = False) -> np.ndarray:
    """Rows as int32 of equal width, zeros where there is none."""
    width = max(width, *map(len, rows))
    pad = lambda row: [0] * (width - len(row))
    return np.array([pad(r) + r if left else r + pad(r) for r in rows], np.int32)
