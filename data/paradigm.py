"""The words that can stand in a place of a template: one row of forms a paradigm.

A paradigm is all that is common to the words which stand in one place: language, case, number, and
whose gender they show. Of a name of several words, every word has a paradigm of its own.
"""

import itertools

import numpy as np

from data.language import Leaf
from data.lexicon import gender, inventory
from data.meaning import Slot
from data.speaker import Speaker


def variable(leaf: Leaf) -> Slot | None:
    """The slot on which a word depends: it says its concept, or shows its gender."""
    return next((c for c in (leaf.concept, leaf.controller) if isinstance(c, Slot)), None)


# A verb that is a slot itself and shows the gender of another has two rows, one after the other,
# which show those of these two.
_OF_GENDER = tuple(
    next(c for i in itertools.count() if gender(c := f"noun{i}") == g) for g in (0, 1)
)


def shown(leaf: Leaf | None) -> int:
    """The slot whose gender a verb that is a slot itself shows, or -1."""
    both = leaf and isinstance(leaf.concept, Slot) and isinstance(leaf.controller, Slot)
    return leaf.controller.index if both else -1


def paradigm(both: Speaker, leaf: Leaf, part: int) -> tuple[Leaf, int]:
    """What is common to all words that can stand for a part of a leaf: None is where its slot's
    concept goes. A case that the language does not mark is none."""
    language = both.languages[leaf.language]
    marked = {*dict(language.case), *["verb"] * bool(language.agreement)}
    role = leaf.role if leaf.role in marked else ""
    says = isinstance(leaf.concept, Slot)
    concept, controller = (None, leaf.controller) if says else (leaf.concept, None)
    if shown(leaf) >= 0:
        controller = _OF_GENDER[0]
    common = Leaf(concept, leaf.language, role=role, controller=controller, plural=leaf.plural)
    return common, part


def paradigms(
    both: Speaker, said: list[tuple[Leaf | None, int]]
) -> dict[tuple, dict[str, list[str]]]:
    """In every paradigm in use, the word for every concept of the kinds that stand there."""
    kinds = {(Leaf(None, language), 0): {*both.kind.values()} for language in range(len(both.form))}
    for leaf, part in said:
        if leaf and (slot := variable(leaf)):
            one, part = paradigm(both, leaf, part)
            for controller in _OF_GENDER if shown(leaf) >= 0 else (one.controller,):
                row = one._replace(controller=controller), part
                kinds.setdefault(row, set()).add(slot.kind)
    order = inventory(both.world)
    return {p: {k: _words(both, *p, k) for k in order if k in kinds[p]} for p in kinds}


def _words(both: Speaker, paradigm: Leaf, part: int, kind: str) -> list[str]:
    """The word of a paradigm for every concept of a kind."""
    if paradigm.concept:
        concepts = inventory(both.world)[kind]
        one = {gender(c): c for c in concepts}
        word = {g: both.word(paradigm._replace(controller=c)) for g, c in one.items()}
        return [word[gender(c)] for c in concepts]
    forms, _ = both.words(kind, paradigm)
    return [form.split()[part] for form in forms]


def table(both: Speaker, paradigms: dict[tuple, dict], word: dict[str, int]) -> np.ndarray:
    """`Tables.form`: where a paradigm has no word for a concept, the cited one."""
    count = [len(concepts) for concepts in inventory(both.world).values()]
    ends = dict(zip(inventory(both.world), np.cumsum(count), strict=True))
    form = np.zeros((len(paradigms), sum(count)), np.int32)
    for i, ((paradigm, _), kinds) in enumerate(paradigms.items()):
        form[i] = form[paradigm.language]
        for kind, forms in kinds.items():
            form[i, ends[kind] - len(forms) : ends[kind]] = [word[form] for form in forms]
    return form
