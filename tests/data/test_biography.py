"""Biographies say what is so of their people, in as many texts as the spec says, and the half that
is not asked about is never asked about."""

import collections
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from data.biography import Biography
from data.pool import ATTRIBUTES, Pools
from data.probe import completion
from data.tally import tally

FEW = Pools(9, 9, 9, 9, 9, 9, 9, 9)
BASE = Biography(people=40, versions=3, templates=4, translated=0.5, asked=0.3, pools=FEW, T=128)
SPECS = (BASE, replace(BASE, full=True, seed=3), replace(BASE, permuted=False, versions=1),
         replace(BASE, loss="response", asked=0.9), replace(BASE, asked=0.0, translated=0.0),
         replace(BASE, asked=1.0))  # fmt: skip


def documents(corpus: Biography, rows: int):
    """Words, weights and columns of every document."""
    said = corpus.rows(0, rows)
    for i, segments in enumerate(said["segments"]):
        for m in range(segments.max()):
            (at,) = np.nonzero(segments == m + 1)
            words = corpus.tokenizer.decode(said["tokens"][i, at]).split()[1:]
            columns = {k: v[i, m] for k, v in said.items() if v.shape == said["person"].shape}
            yield words, said["weights"][i, at[1] : at[-1] + 2], columns


def lexicon(corpus: Biography) -> dict[int, dict[str, tuple]]:
    """What every word of a value means, by language, read off the order of the vocabulary."""
    words, pools = corpus.tokenizer.words, corpus.pools
    shared = pools.first + pools.middle + pools.last + 28 + pools.years + 2
    size = (len(words) - shared) // 2
    meanings = {}
    for language in (0, 1):
        own, found = iter(words[shared + language * size :][:size]), {}
        for kind, count in (("pronoun", 2), ("asks", 6), ("month", 12), ("city", pools.cities),
                            ("university", pools.universities), ("major", pools.majors),
                            ("company", pools.companies)):  # fmt: skip
            found |= {next(own): (kind, i) for i in range(count)}
        found |= {w: ("template", i) for i, w in enumerate(own)}
        meanings[language] = found
    return meanings


def facts(corpus: Biography, person: int) -> dict[str, tuple]:
    value = dict(zip(ATTRIBUTES, corpus.attributes(np.array(person)).tolist(), strict=True))
    date = value["birth date"]
    return {
        "birth date": (("month", date % 12), str(date // 12 % 28 + 1), str(1900 + date // 336)),
        **{a: (("city" if "city" in a else a, value[a]),) for a in ATTRIBUTES[1:]},
    }


def read(corpus: Biography, words: list[str], meanings: dict) -> list[tuple[list, list, tuple]]:
    """Subject, template words and value of every sentence."""
    sentences = " ".join(words).rstrip(" .").split(" . ")
    found = []
    for sentence in map(str.split, sentences):
        kinds = [meanings.get(w, ("name" if w[0].isupper() else w, w)) for w in sentence]
        subject = [
            w for w, (kind, _) in zip(sentence, kinds, strict=True) if kind in ("name", "pronoun")
        ]
        template = [w for w, (kind, _) in zip(sentence, kinds, strict=True) if kind == "template"]
        value = sentence[len(subject) + len(template) :]
        assert sentence == [*subject, *template, *value], "the person, the template, the value"
        found.append((subject, template, tuple(meanings.get(w, w) for w in value)))
    return found


@pytest.mark.parametrize("corpus", SPECS, ids=repr)
def test_a_biography_says_every_attribute_once_and_the_person_first(corpus):
    meanings, names = lexicon(corpus), collections.defaultdict(set)
    for words, _, said in documents(corpus, 60):
        if said["version"] < 0:
            continue
        sentences = read(corpus, words, meanings[said["language"]])
        told = facts(corpus, said["person"])
        assert sorted(map(str, (s[2] for s in sentences))) == sorted(map(str, told.values()))
        subjects = [s[0] for s in sentences]
        names[said["person"]].add(tuple(subjects[0]))
        assert len(subjects[0]) == 3 and all(1 <= len(s[1]) <= 3 for s in sentences)
        later = {tuple(s) for s in subjects[1:]}
        assert len(later) == 1 and len(later.pop()) == (3 if corpus.full else 1)
        order = [str(v) for *_, v in sentences]
        assert corpus.permuted or order == [str(told[a]) for a in ATTRIBUTES]
    assert all(len(n) == 1 for n in names.values())
    assert len({n for ns in names.values() for n in ns}) == len(names), "no two have one name"


def test_a_version_is_always_the_same_text_and_versions_differ():
    texts = collections.defaultdict(set)
    for words, _, said in documents(BASE, 600):
        if said["version"] >= 0:
            texts[said["person"], said["language"], said["version"]].add(" ".join(words))
    assert all(len(t) == 1 for t in texts.values())
    assert len(texts) == (40 + 20) * 3, "three of everyone in one language, of half in the other"
    assert len({t for ts in texts.values() for t in ts}) == len(texts)


def test_the_city_of_a_company_is_decided_by_the_company():
    people = np.arange(100_000)
    value = Biography(people=100_000).attributes(people)
    city = {}
    for company, at in value[:, 4:].tolist():
        assert city.setdefault(company, at) == at
    assert len(city) == 263 and len(set(city.values())) > 100
    sizes = (12 * 28 * 200, 200, 300, 100, 263)
    for k, size in enumerate(sizes):
        counts = np.bincount(value[:, k], minlength=size)
        assert len(counts) == size
        assert abs(counts - 1e5 / size).max() < 6 * np.sqrt(1e5 / size) + 6


def test_questions_are_answered_and_about_even_people_only():
    asked = collections.Counter()
    meanings = lexicon(BASE)
    for words, _, said in documents(BASE, 600):
        if said["attribute"] < 0:
            continue
        assert said["person"] % 2 == 0 and said["version"] == -1
        assert words[4] == "?" and meanings[said["language"]][words[0]] == (
            "asks",
            said["attribute"],
        )
        value = tuple(meanings[said["language"]].get(w, w) for w in words[5:])
        assert value == facts(BASE, said["person"])[ATTRIBUTES[said["attribute"]]]
        asked[said["person"]] += 1
    assert set(asked) == {*range(0, 40, 2)}


def test_probes_ask_either_half_in_both_languages():
    for asked in (True, False):
        records, slices = BASE.questions(asked, people=5)
        probe = completion(records, BASE.tokenizer, **slices)
        assert len(records) == 2 * 5 * 6 and set(slices["person"] % 2) == {int(not asked)}
        meanings = lexicon(BASE)
        for i, (_, answer) in enumerate(records):
            language = ("L1", "L2").index(slices["language"][i])
            value = tuple(meanings[language].get(w, w) for w in answer.split())
            assert value == facts(BASE, slices["person"][i])[slices["attribute"][i]]
        assert probe.prompts.shape[1] == 6
    told = {
        (p, lang)
        for p, lang, t in zip(slices["person"], slices["language"], slices["told"], strict=True)
        if t
    }
    assert {(p, "L1") for p in slices["person"]} <= told
    said = {(d["person"], ("L1", "L2")[d["language"]]) for *_, d in documents(BASE, 300)}
    assert (
        told <= said and not {(p, "L2") for p in slices["person"] if (p, "L2") not in told} & said
    )


def test_shares_are_those_of_the_spec():
    corpus = replace(BASE, people=700, translated=0.3, ratio=0.8)
    said = corpus.provenance(0, 4000)
    biography = said["version"] >= 0
    person, language = said["person"][biography], said["language"][biography]
    translated = corpus.is_translated(np.arange(700))
    assert translated.sum() == 210 and translated[::2].sum() == 105
    assert not language[~translated[person]].any()
    assert abs(language[translated[person]].mean() - 0.8) < 0.02
    counts = np.bincount(person, minlength=700)
    assert abs(counts - counts.mean()).max() < 6 * np.sqrt(counts.mean())
    table = tally(corpus, 0, 4000, ("register", "language")).to_pylist()
    assert sum(r["documents"] for r in table) == (said["person"] >= 0).sum()


def test_the_response_alone_is_a_target():
    for words, weights, said in documents(replace(BASE, loss="response"), 60):
        answer = 5 if said["attribute"] >= 0 else len(words)
        expected = np.arange(len(weights)) >= answer if said["attribute"] >= 0 else 0
        np.testing.assert_array_equal(weights, expected)
    rows = BASE.rows(0, 40)
    total = (rows["segments"] > 0).sum(1, keepdims=True)
    np.testing.assert_array_equal(
        rows["weights"], (np.arange(BASE.T) > 0) & (np.arange(BASE.T) <= total)
    )


@pytest.mark.parametrize("corpus", (*SPECS, Biography(people=10**6, translated=0.5)), ids=repr)
def test_any_range_of_rows_is_its_rows_one_by_one(corpus):
    rows = corpus.rows(5, 25)
    for i in (19, 0, 7):
        for name, value in corpus.row(5 + i).items():
            np.testing.assert_array_equal(rows[name][i], value, err_msg=name)
    assert rows["tokens"].max() < corpus.tokenizer.size
    assert rows["segments"][:, 0].all() and (rows["tokens"][rows["segments"] == 0] == 0).all()


def test_a_spec_has_the_same_rows_on_every_machine_and_release():
    rows = BASE.rows(1000, 1064)
    digest = hashlib.sha256(b"".join(rows[k].astype("<i4").tobytes() for k in sorted(rows)))
    assert digest.hexdigest()[:16] == "a773640393330704"


def test_impossible_biographies_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="there are 729 names"):
        replace(BASE, people=730)
    with pytest.raises(ValueError, match="shorter than the longest biography"):
        replace(BASE, T=40)
    with pytest.raises(ValueError, match="translated=2"):
        replace(BASE, translated=2)
    with pytest.raises(ValueError, match="choose 1 or more of each"):
        replace(BASE, versions=0)
    with pytest.raises(ValueError, match="where questions are asked"):
        replace(BASE, loss="response", asked=0)
    with pytest.raises(ValueError, match="a pool is empty"):
        Pools(first=0)


def test_the_inverse_question_says_a_birth_date_and_asks_whose_it_is():
    corpus = replace(BASE, asked=1.0, inverse=True, loss="response", translated=1.0)
    ways = zip(corpus.questions(False)[0], replace(corpus, inverse=False).questions(False)[0][::6],
               strict=True)  # fmt: skip
    for (prompt, answer), (asked, date) in ways:
        opener, *name, mark = asked.split()
        assert prompt.split() == [opener, *date.split(), mark] and answer.split() == name
    for words, weights, said in documents(corpus, 20):
        assert len(words) == 8 and said["attribute"] == 0 and said["person"] % 2 == 0
        assert weights.tolist() == [0.0] * 5 + [1.0] * 4
