"""A transform says the documents of its base, changed as it promises, and counts them as said."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from data.biography import Biography
from data.corpus import Corpus
from data.curriculum import Alternating, Curriculum
from data.feature import Agreement, Articles, Case, Lexicon, Names, Order, PossessorFirst
from data.joined import Joined
from data.language import Pair
from data.meaning import Fact
from data.name import Naming
from data.product import Product
from data.relation import Symmetric
from data.reorder import (
    Permute,
    ReverseEntities,
    ReverseSegments,
    ReverseTokens,
    ReverseWords,
    Shuffle,
)
from data.restate import Bridge, Swap
from data.speaker import speaker
from data.syntax import Wording
from data.template import KINDS
from data.text import Text
from data.tokenizer import BPE, Character, Word
from data.transform import Transformed, extended
from data.world import RELATIONS, Vocabulary, World

SMALL = World(pairs=16, cities=4, nouns=8)
TWIN = Pair((Lexicon(0.3), Names(0.5), PossessorFirst()))
RICH = Pair((Lexicon(0.3), Order("SOV"), Case(4), Agreement("gender x number"), Articles()))
BASES = {"plain": Corpus(SMALL, TWIN, T=48), "rich": Corpus(SMALL, RICH, T=48)}
BASES["letters"] = replace(
    BASES["rich"], T=200, subword=Character.of("".join(BASES["rich"].tables.words) + " ")
)
LONG = Pair((Lexicon(0.3), Articles()), naming=Naming(2, 2))
RELATED = World(
    pairs=16, cities=4, nouns=8, relations=(*RELATIONS, Symmetric("spouse", "spouse", "x", "x"))
)
BASES["named"] = Corpus(RELATED, LONG, T=48)
REORDERS = (ReverseTokens(), ReverseWords(), ReverseEntities(), ReverseSegments(3, "|"), Permute(),
            Shuffle())  # fmt: skip
EVERY = (*REORDERS, Swap(), Bridge(names=("√", "ν")))


@pytest.fixture(params=BASES)
def base(request) -> Corpus:
    return BASES[request.param]


def documents(rows: dict, i: int) -> list[list[int]]:
    """The tokens of every document of row i."""
    tokens, segments = rows["tokens"][i], rows["segments"][i]
    return [tokens[segments == m + 1].tolist() for m in range(segments.max())]


def pairs(made: Transformed, rows: int = 40):
    """Every document before and after, with its spans and columns."""
    before, after, spans = (x(0, rows) for x in (made.base.rows, made.rows, made.base.spans))
    for i in range(rows):
        for m, new in enumerate(documents(after, i)):
            chosen = before["segments"][i] == m + 1
            said = {k: v[i, m] for k, v in after.items() if v.shape == after["kind"].shape}
            yield (before["tokens"][i, chosen].tolist(), new,
                   *(spans[k][i, chosen] for k in ("word", "slot")), said)  # fmt: skip


def runs(tokens: list[int], key: np.ndarray) -> list[list[int]]:
    """Tokens (without <doc>) in runs of equal key."""
    cut = np.flatnonzero(np.diff(key[1:])) + 1
    return [run.tolist() for run in np.split(np.array(tokens[1:]), cut)]


def flat(parts) -> list[int]:
    return [0, *(token for part in parts for token in part)]


@pytest.mark.parametrize("transform", EVERY, ids=lambda t: type(t).__name__)
def test_any_range_of_rows_is_its_rows_one_by_one(base, transform):
    for doubled in (False, True):
        made = Transformed(base, transform, 0.5, doubled, room=100)
        rows = made.rows(3, 15)
        for i in (11, 0, 4):
            row = made.row(3 + i)
            for name in rows:
                np.testing.assert_array_equal(rows[name][i], row[name], err_msg=name)
        assert rows["tokens"].max() < made.tokenizer.size
        assert rows["tokens"].shape == (12, made.T)
        none = made.rows(3, 3)
        assert all(none[k].shape == (0, *rows[k].shape[1:]) for k in rows)
        columns = made.provenance(3, 15)
        assert all((columns[k] == rows[k]).all() for k in columns)
        assert all(column.dtype == np.int32 for column in columns.values())


@pytest.mark.parametrize("transform", EVERY, ids=lambda t: type(t).__name__)
def test_without_a_share_nothing_changes(base, transform):
    before, after = base.rows(0, 30), Transformed(base, transform, share=0).rows(0, 30)
    assert not (after.pop("transform") > 0).any()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_tokens_are_reversed(base):
    for old, new, *_ in pairs(Transformed(base, ReverseTokens(), share=1)):
        assert new == [0, *old[:0:-1]]


def test_words_are_reversed_and_their_tokens_are_not(base):
    for old, new, word, *_ in pairs(Transformed(base, ReverseWords(), share=1)):
        assert new == flat(runs(old, word)[::-1])


def test_entities_are_kept_whole():
    """A name of two words: the base says each word of it in the same slot."""

    class Named:
        """Statements "of <two words of x> is <two words of y>", all tokens known."""

        T, tokenizer = 8, Word(tuple("abcdefg"))
        legend = dict(fact=())  # noqa: RUF012

        def rows(self, start, stop):
            one = lambda values: np.tile(np.array([values], np.int32), (stop - start, 1))
            return dict(tokens=one([0, 1, 2, 3, 4, 5, 6, 0]), weights=one([0, 1, 1, 1, 1, 1, 1, 1]),
                        segments=one([1] * 7 + [0]), fact=one([0]))  # fmt: skip

        def spans(self, start, stop):
            one = lambda values: np.tile(np.array([values], np.int32), (stop - start, 1))
            return dict(word=one([0, 1, 2, 3, 4, 5, 6, -1]), slot=one([-1, -1, 0, 0, -1, 1, 1, -1]))

    said = lambda transform: Transformed(Named(), transform, share=1).row(0)["tokens"].tolist()
    assert said(ReverseWords()) == [0, 6, 5, 4, 3, 2, 1, 0]
    assert said(ReverseEntities()) == [0, 5, 6, 4, 2, 3, 1, 0]
    assert said(Permute(reversed=1)) == [0, 5, 6, 4, 2, 3, 1, 0]
    assert Transformed(Named(), ReverseEntities(), share=1).row(0)["direction"].tolist() == [1]


def test_segments_are_reversed_between_separators():
    base = BASES["plain"]
    made, seen = Transformed(base, ReverseSegments(longest=3), share=1, room=80), set()
    mark = made.tokenizer.encode("[REV]")[0]
    for old, new, *_ in pairs(made):
        parts = "".join(chr(t) for t in new[1:]).split(chr(mark))
        segments = [[ord(c) for c in part] for part in parts]
        assert flat(segments[::-1]) == old
        lengths = [len(s) for s in segments]
        assert min(lengths) >= 1 and max(lengths) <= 3
        seen |= {*lengths}
        assert (made.tokenizer.size, base.tokenizer.size) == (mark + 1, mark)
    assert seen == {1, 2, 3}
    # The longest first segment there can be is as likely as the shortest.
    ends = [len(new) - 1 - new[::-1].index(mark) if mark in new else 0
            for _, new, *_ in pairs(made, 400)]  # fmt: skip
    first = [len(n) - 1 - e for (_, n, *_), e in zip(pairs(made, 400), ends, strict=True) if e]
    assert abs(np.bincount(first, minlength=4)[1:4] / len(first) - 1 / 3).max() < 0.05


def test_units_are_permuted_and_stay_whole():
    made, turned, count = Transformed(BASES["plain"], Permute(0.5), 1, kinds=("fact",)), 0, 0
    orders = set()
    for old, new, _, slot, said in pairs(made, 300):
        if said["fact"] < 0:
            assert old == new
            continue
        units = runs(old, slot)
        left, order = new[1:], []
        while left:
            at = next(i for i, u in enumerate(units) if left[: len(u)] == u)
            order.append(at)
            left = left[len(units[at]) :]
        assert sorted(order) == [*range(len(units))], "every unit once"
        count, turned = count + 1, turned + (order == [*range(len(units))][::-1])
        orders.add(tuple(order))
    # Reversed by half, and by chance among the 24 (or 6) orders of the other half.
    assert abs(turned / count - 0.5 - 0.5 / 24) < 0.07
    assert len(orders) >= 24


def test_a_shuffle_is_drawn_anew_for_every_document_and_in_one_language():
    made = Transformed(BASES["plain"], Shuffle(), share=1, languages=(1,))
    orders = {}
    for old, new, *_, said in pairs(made, 200):
        if said["language"] == 0:
            assert new == old
        elif len({*old}) == len(old):
            assert sorted(new) == sorted(old)
            order = tuple(old.index(t) for t in new)
            orders.setdefault(len(old), []).append(order)
    drawn = orders[6]
    assert all(order[0] == 0 for order in drawn), "<doc> stays where it is"
    different = 120 * (1 - (1 - 1 / 120) ** len(drawn))  # of the 120 orders of five words
    assert len(drawn) > 100 and abs(len(set(drawn)) - different) < 12


@pytest.mark.parametrize("transform", REORDERS, ids=lambda t: type(t).__name__)
def test_the_direction_is_that_of_the_entity_mentioned_first(base, transform):
    made = Transformed(base, transform, share=0.5, room=100)
    rows, spans = made.rows(0, 40), made.spans(0, 40)
    for i in range(40):
        for m, fact in enumerate(rows["fact"][i]):
            slots = spans["slot"][i, rows["segments"][i] == m + 1]
            first = [s for s in slots if s in (0, 1)][:1] if fact >= 0 else [-1]
            assert rows["direction"][i, m] == first[0]
    if not isinstance(transform, Permute | Shuffle):
        assert set(rows["direction"][rows["fact"] >= 0]) == {0, 1}


def test_a_swap_says_the_same_fact_in_the_other_direction(base):
    made, swapped = Transformed(base, Swap(), share=0.7, room=8), 0
    both = speaker(base.pair, base.world)
    encode = lambda words: base.tokenizer.encode("".join(f" {w}" for w in words))
    rows = made.rows(0, 40)
    for i in range(40):
        said = base.documents(i)
        for m, new in enumerate(documents(rows, i)):
            language, meaning = said[m]
            if rows["transform"][i, m]:
                swapped += 1
                assert isinstance(meaning, Fact) and meaning.relation != "home"
                other = meaning.object if meaning.focus == meaning.subject else meaning.subject
                meaning = replace(meaning, focus=other)
                assert rows["direction"][i, m] == (other == meaning.object)
                z = rows["template"][i, m]
                assert base.tables.direction[z] == rows["direction"][i, m]
                assert base.tables.language[z] == language
            assert new == [0, *encode(both.render(meaning, language))]
    assert swapped > 10


def test_a_bridge_names_an_entity_and_states_no_fact(base):
    made = Transformed(base, Bridge(names=("√", "ν")), share=0.7, room=8)
    both, rows, kinds = speaker(base.pair, base.world), made.rows(0, 60), set()
    marks = range(base.tokenizer.size, base.tokenizer.size + 2)
    for i in range(60):
        for m, new in enumerate(documents(rows, i)):
            language, meaning = base.documents(i)[m]
            assert not set(new) & set(marks) or rows["transform"][i, m]
            if not rows["transform"][i, m]:
                continue
            assert rows["fact"][i, m] == rows["direction"][i, m] == -1
            assert new.count(marks[language]) == 1 and marks[1 - language] not in new
            text = base.tokenizer.decode([t for t in new[1:] if t not in marks]).replace(" ", "")
            entities = [both.form[language][c] for c in (meaning.subject, meaning.object)]
            entities = [entity.replace(" ", "") for entity in entities]
            named = [e for e in entities if text.count(e) == 2]
            assert len(named) == 1
            kinds.add(entities.index(named[0]))
    assert kinds == {0, 1}


def test_doubled_says_a_row_as_it_is_and_then_transformed():
    base = BASES["plain"]
    made = Transformed(base, ReverseWords(), share=1, doubled=True, marker="<rev>", room=30)
    rows, before = made.rows(0, 40), base.rows(0, 20)
    mark = made.tokenizer.encode("<rev>")[0]
    for j in range(20):
        plain, turned = documents(rows, 2 * j), documents(rows, 2 * j + 1)
        assert plain == documents(before, j)
        assert turned == [[0, mark, *old[:0:-1]] for old in plain]
    assert not rows["transform"][::2].max() > 0 and (rows["transform"][1::2] != 0).all()


def test_a_share_of_the_documents_of_a_kind_is_transformed():
    made = Transformed(BASES["plain"], ReverseTokens(), share=0.3, kinds=("fact",), room=20)
    rows = made.rows(0, 1500)
    fact = rows["kind"] == KINDS.index("fact")
    assert not (rows["transform"][~fact] > 0).any()
    assert abs(rows["transform"][fact].mean() - 0.3) < 0.02


def test_transforms_can_follow_each_other():
    base = BASES["plain"]
    swapped = Transformed(base, Swap(), share=0.5, kinds=("fact",))
    made = Transformed(swapped, ReverseWords(), share=0.5, seed=1)
    assert made.legend["transform"] == ("none", "Swap", "ReverseWords")
    rows, inner = made.rows(0, 60), swapped.rows(0, 60)
    for i in range(60):
        for m, (old, new) in enumerate(zip(documents(inner, i), documents(rows, i), strict=True)):
            code = rows["transform"][i, m]
            assert new == ([0, *old[:0:-1]] if code == 2 else old)
            assert code == 2 or code == inner["transform"][i, m]


def test_what_is_not_a_target_stays_none():
    class Response:
        T, tokenizer, legend = 6, Word(tuple("abc")), dict(line=())
        targets = (0, 0, 0, 1, 1, 0)

        def rows(self, start, stop):
            one = lambda values: np.tile(np.array([values], np.int32), (stop - start, 1))
            weights = one(self.targets).astype(np.float32)
            return dict(tokens=one([0, 1, 2, 3, 0, 0]), weights=weights,
                        segments=one([1, 1, 1, 1, 0, 0]), line=one([0]))  # fmt: skip

    said = Transformed(Response(), ReverseTokens(), share=1, marker="!", room=2)
    assert said.row(0)["tokens"].tolist() == [0, 4, 3, 2, 1, 0, 0, 0]
    assert said.row(0)["weights"].tolist() == [0, 1, 1, 0, 0, 1, 0, 0]
    Response.targets = [0] * 6
    assert said.row(0)["weights"].tolist() == [0] * 8


def test_documents_that_no_longer_fit_are_left_out_and_not_counted():
    made = Transformed(BASES["plain"], Shuffle(), share=1, marker="<s>")
    rows, before, less = made.rows(0, 100), BASES["plain"].rows(0, 100), 0
    for i in range(100):
        lengths = [len(d) + 1 for d in documents(before, i)]
        kept = int((np.cumsum(lengths) <= made.T).sum())
        assert rows["segments"][i].max() == kept and (rows["kind"][i] >= 0).sum() == kept
        assert (rows["transform"][i] >= 0).sum() == kept
        less += kept < len(lengths)
    assert less > 20


def test_new_words_get_the_tokens_after_the_old(base):
    bpe = BPE.train([" low lower lowest"] * 9, size=262)
    for tokenizer in (bpe, Word(("low", "lower")), Character.of(" lower")):
        more = extended(tokenizer, ("←",))
        assert more.size == tokenizer.size + 1
        assert more.encode(" low") == tokenizer.encode(" low")
        assert "←" in more.decode([tokenizer.size])
        assert len(more.bytes) == more.size


def test_mistakes_are_refused_with_the_way_out(base):
    with pytest.raises(ValueError, match="share=2"):
        Transformed(base, Shuffle(), share=2)
    with pytest.raises(ValueError, match="choose among them"):
        Transformed(base, Shuffle(), kinds=("poem",))
    with pytest.raises(ValueError, match="choose among them"):
        Transformed(base, Shuffle(), languages=(2,))
    for wrong in (dict(languages=("L2",)), dict(kinds=(0,))):
        with pytest.raises(ValueError, match="choose among them"):
            Transformed(base, Shuffle(), **wrong)
    with pytest.raises(ValueError, match="are not new words"):
        Transformed(BASES["plain"], Shuffle(), marker=BASES["plain"].tokenizer.words[3])
    with pytest.raises(ValueError, match="is one character"):
        Transformed(BASES["letters"], Shuffle(), marker="<rev>")
    with pytest.raises(ValueError, match="choose another"):
        Transformed(Transformed(base, Shuffle()), Shuffle())
    with pytest.raises(ValueError, match="choose 1 or more"):
        ReverseSegments(longest=0)
    with pytest.raises(ValueError, match="needs a corpus with say"):
        Transformed(Transformed(base, Shuffle()), Swap(), seed=1)
    with pytest.raises(ValueError, match="in one segment, so they are not told apart here"):
        Transformed(Joined(Product()), ReverseTokens())


def test_a_marker_that_is_a_token_already_is_refused():
    """Or of two markers both would be the first."""
    bpe = BPE.train([" low lower lowest"] * 9, size=262)
    for known in (bpe, Word(("low", "lower")), Character.of(" lower")):
        for marker in ("low" if isinstance(known, Word) else "l", "<doc>", ""):
            with pytest.raises(ValueError, match="are not new words"):
                extended(known, ("←", marker))
    with pytest.raises(ValueError, match="are not new words"):
        extended(bpe.marked(["<rev>"]), ("<rev>",))


def test_what_a_source_is_made_of_has_to_know_what_a_transform_needs(tmp_path):
    (tmp_path / "text").write_text("a b c\n" * 9)
    text = Text((str(tmp_path / "text"),), Word(("a", "b", "c")), T=16)
    with pytest.raises(ValueError, match="needs a corpus with spans"):
        Transformed(Transformed(text, ReverseWords()), Permute(), seed=1)
    people = Curriculum(Biography(people=20, translated=0.5, T=128), Alternating(2))
    told, turned = (Transformed(people, ReverseWords(), share=share).row(2) for share in (0, 1))
    assert turned["tokens"][1:5].tolist() != told["tokens"][1:5].tolist()


def test_a_spec_has_the_same_transforms_on_every_machine_and_release():
    """Of numbers that no world says: change the hash knowingly."""

    class Count:
        T, tokenizer, legend = 32, Word(tuple(map(str, range(31)))), dict(line=())

        def rows(self, start, stop):
            one = lambda values: np.tile(np.array([values], np.int32), (stop - start, 1))
            return dict(tokens=one(range(32)), weights=one([1] * 32).astype(np.float32),
                        segments=one([1] * 32), line=one([0]))  # fmt: skip

    digest = hashlib.sha256()
    for transform in (ReverseTokens(), ReverseSegments(), Shuffle()):
        rows = Transformed(Count(), transform, marker="!", room=8).rows(100, 164)
        digest.update(b"".join(rows[k].astype("<i4").tobytes() for k in sorted(rows)))
    assert digest.hexdigest()[:16] == "d10e1a61a16f5503"


@pytest.mark.parametrize(
    "tokenizer",
    [
        Word(("the", "lower", "lowest", "owl")),
        Character.of(" thelowrs"),
        BPE.train([" the lower lowest owl"] * 9, size=270),
    ],
    ids=lambda t: type(t).__name__,
)
def test_words_of_text_are_where_the_tokenizer_begins_one(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text(" the lower owl\n lowest the lower\n")
    text = Text((str(tmp_path / "a.txt"),), tokenizer, T=40)
    made = Transformed(text, ReverseWords(), share=1, marker="←")
    row = made.row(0)
    said = {made.tokenizer.decode(d[2:]).strip() for d in documents(made.rows(0, 1), 0)}
    assert said == {"owl lower the", "lower the lowest"}
    assert row["line"].tolist()[:2] in ([0, 1], [1, 0])
    assert (row["transform"][row["line"] >= 0] == 1).all()


@pytest.mark.parametrize("transform", [Swap(), Bridge(names=("√", "ν"))], ids=str)
def test_what_is_stated_anew_in_a_corpus_of_responses_scores_its_answer_alone(transform):
    base = replace(BASES["plain"], loss="response")
    rows = Transformed(base, transform, share=1).rows(0, 100)
    seen = 0
    for i, m in np.argwhere(rows["transform"] == 1):
        (at,) = np.nonzero(rows["segments"][i] == m + 1)
        assert rows["weights"][i, at[1:]].tolist() == [0] * (len(at) - 2) + [1]
        seen += 1
    assert seen > 100
    mean = lambda r: r["weights"].sum() / (r["kind"] >= 0).sum()
    assert mean(rows) == pytest.approx(mean(base.rows(0, 100)), rel=0.05)


def test_a_swapped_fact_keeps_its_wording():
    world = replace(SMALL, vocabulary=Vocabulary(templates=5, held_out=1))
    said = Transformed(Corpus(world, TWIN, T=48), Swap(), share=1, room=16)
    before, after = (source.rows(0, 200) for source in (said.base, said))
    swapped, wording = after["transform"] == 1, said.base.tables.wording
    of = lambda rows: wording[rows["template"][swapped]]
    np.testing.assert_array_equal(of(before), of(after))
    assert {*of(after)} == {0, 1, 2, 3}
    both, checked = speaker(TWIN, world), 0
    for i, m in np.argwhere(swapped)[:60]:
        relation, *ends, _ = world.fact(after["fact"][i, m])
        focus = ends[after["direction"][i, m]]
        words = both.render(
            Fact(relation, *ends, focus),
            after["language"][i, m],
            Wording(wording[after["template"][i, m]]),
        )
        tokens = documents(after, i)[m][1:]
        checked += said.tokenizer.decode(tokens).split() == [*words]
    assert checked == 60
