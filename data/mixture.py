"""What is said how often: the shares of documents, and all knobs of the draw in one value.

Statements are drawn over stated cells (data/coverage.py), by default so that every stated cell of
every fact has the same expected ones; the languages' shares weight their cells. All other documents
are in a language with the probability that is its share. Tasks are drawn uniformly among those that
may be asked there. Where one states facts (data/task/retrieval.py), whoever is asked about is drawn
uniformly among those of whom it may be asked there: where fewer may, each fact is exposed more
often, which the ledger counts and "matched" exposures do not even out. How it is drawn:
data/sampler.py.
"""

from dataclasses import dataclass, field

from data.contact import Contact
from data.coverage import Statements
from data.split import HeldOut
from data.zipf import Zipf


@dataclass(frozen=True)
class Mixture:
    """Shares of documents, and with `zipf` of concepts. `dictionary` and `plain` (sentences that
    state no fact, of a world with verbs) are drawn first; the four registers share the rest.

    `answered` is the share of quiz documents whose question is answered; the others go on to
    another question (tier T1). Chat is what tuning alone says (tier T2). `held_out` cells are never
    said. `glossed` tasks are explained by the dictionary documents that would explain one noun
    (tier T3: the word of a held-out task is known from them alone). `statements` is how facts are
    stated, `contact` what documents say in two languages."""

    facts: float = 0.40
    stories: float = 0.35
    quiz: float = 0.25
    chat: float = 0.0
    answered: float = 0.2
    dictionary: float = 0.04
    plain: float = 0.0
    held_out: tuple[HeldOut, ...] = ()
    glossed: tuple[str, ...] = ()
    statements: Statements = field(default_factory=Statements)
    contact: Contact = field(default_factory=Contact)
    zipf: Zipf = field(default_factory=Zipf)

    def __post_init__(self) -> None:
        shares = (*self.registers, self.answered, self.plain, self.dictionary + self.plain)
        if not all(0 <= share <= 1 for share in (*shares, self.dictionary)):  # nan neither
            raise ValueError(
                f"facts={self.facts}, stories={self.stories}, quiz={self.quiz}, chat={self.chat}, "
                f"answered={self.answered}, dictionary={self.dictionary}, plain={self.plain}: "
                "every share is from 0 to 1, and so is dictionary + plain; change what is not"
            )
        if abs(sum(self.registers) - 1) > 1e-9:
            said = " + ".join(f"{share:g}" for share in self.registers)
            raise ValueError(
                f"facts + stories + quiz + chat is {said} = {sum(self.registers):g} and not 1; "
                "change one of the four"
            )
        if self.dictionary and not {"nouns", "names"} & {*self.contact.scope}:
            raise ValueError(
                f"dictionary={self.dictionary}, but scope={self.contact.scope} has no words to "
                "explain; choose dictionary=0, or 'nouns' or 'names' in the scope"
            )

    @property
    def bilingual(self) -> dict[str, float]:
        """The shares of documents that say something in two languages, whatever the ratio is."""
        said = dict(
            dictionary=self.dictionary,
            parallel=self.contact.parallel,
            switched=self.contact.switched,
        )
        return {name: share for name, share in said.items() if share}

    @property
    def registers(self) -> tuple[float, ...]:
        """In the order of REGISTERS; the dictionary is not among them."""
        return self.facts, self.stories, self.quiz, self.chat


def shares(ratio: float | tuple[float, ...], languages: int) -> tuple[float, ...]:
    """The shares of languages: `ratio` is that of the second of two, or has those of all.

    >>> shares(0.25, 2), shares((0.5, 0.25, 0.25), 3)
    ((0.75, 0.25), (0.5, 0.25, 0.25))
    """
    if isinstance(ratio, tuple):
        known = len(ratio) == languages and all(share >= 0 for share in ratio)
        if not known or abs(sum(ratio) - 1) > 1e-9:
            raise ValueError(
                f"ratio={ratio}: the shares of {languages} languages are {languages} numbers from "
                f"0 that sum to 1, here {len(ratio)} that sum to {sum(ratio):g}; change them"
            )
        return ratio
    if languages != 2:
        raise ValueError(
            f"ratio={ratio} is a share of the second of two languages, and there are {languages}; "
            f"choose a tuple of {languages} shares that sum to 1"
        )
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio={ratio} is no share of language 1; choose it from 0 to 1")
    return 1 - ratio, ratio
