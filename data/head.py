"""The six switches of head direction of White & Cotterell (2021, "Examining the Inductive Bias of
Neural Language Models with Artificial Languages"), each a feature of the twin.

    switch   paper   the base                    the twin
    S                subject before verb phrase  after it
    VP               verb before object          after it
    Comp             complementizer first        after its clause
    PP               adposition first            after its noun phrase
    NP               adjective before noun       after it
    Rel              relative clause after noun  before it, the pronoun between the two

and two more; all eight together, with PossessorFirst, say the base's words from last to first:

    Place            adposition phrase after noun before it
    Objects          "her a book"                "a book her"
                     "a book to her"             "to her a book"

The six of phrases go with everything. The two of the clause turn the base's SVO: with S it is
VOS, with VP SOV, with both OVS. `Order` names one of all six orders, two of which (VSO, OSV) have
no verb phrase to be turned, so it and S or VP would say the order twice, and that is refused.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from data.language import Feature, Language
from data.world import World


@dataclass(frozen=True)
class SubjectLast(Feature):
    """S: the subject after the verb phrase, "sees the dog the cat"."""

    excludes: ClassVar = ("Order",)

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, order=twin.order.replace("S", "") + "S")


@dataclass(frozen=True)
class VerbLast(Feature):
    """VP: the verb after its objects, "the cat the dog sees"."""

    excludes: ClassVar = ("Order",)

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, order=twin.order.translate(str.maketrans("VO", "OV")))


@dataclass(frozen=True)
class ComplementizerLast(Feature):
    """Comp: "the cat says the dog sleeps that"."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, complementizer_last=True)


@dataclass(frozen=True)
class Postpositions(Feature):
    """PP: "the cat the tree near", and so the recipient: "gives a book her to"."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, postpositions=True)


@dataclass(frozen=True)
class AdjectiveLast(Feature):
    """NP: "the cat red"."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, adjective_last=True)


@dataclass(frozen=True)
class RelativeFirst(Feature):
    """Rel: "sees the dog which the cat", the clause before the noun."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, relative_first=True)


@dataclass(frozen=True)
class PlaceFirst(Feature):
    """Place: "near the tree the cat"."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, place_first=True)


@dataclass(frozen=True)
class ObjectsTurned(Feature):
    """Objects: "gives to her a book", and "gives a book her"."""

    def edit(self, twin: Language, base: Language, own: Language, world: World) -> Language:
        return replace(twin, objects_turned=True)
