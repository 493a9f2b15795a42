"""The arithmetic of lm-evaluation-harness's requests, and, where it is installed, a task of it."""

import sys
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

from model.gla import GLA
from model.harness import adapter, continued, score, until
from model.hf import encode, load, save
from model.hf import tokenizer as read_tokenizer
from model.lm import LM, apply, init

CFG = LM(W=7, D=16, layers=1, mixer=GLA(heads=2), F=16)
WORDS = ("<doc>", "a", "b", "c", "d", "e", "f")
run = jax.jit(apply, static_argnums=0)


def logits_of(params, ids):
    """After each token of a text, which one program of ten places gives, whatever its length."""
    padded = jnp.array([[*ids] + [0] * (10 - len(ids))])
    return run(CFG, params, padded)[0][0, : len(ids)]


def words():
    found = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<doc>")
    )
    found.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return found.to_str()


@pytest.fixture
def folder(tmp_path):
    save(tmp_path, CFG, init(CFG, jax.random.key(0)), ends=(0, 0), tokenizer=words())
    return tmp_path


def test_a_score_is_the_sum_of_log_probabilities_of_the_continuation_alone():
    params = init(CFG, jax.random.key(0))
    pairs = [([0, 1, 2], [3, 4]), ([0], [5]), ([0, 3, 3, 3, 3, 3, 3], [1, 2, 3])]
    pairs += [([0], [int(logits_of(params, [0])[0].argmax())])]
    for (context, said), (total, greedy) in zip(pairs, score(CFG, params, pairs), strict=True):
        logits = logits_of(params, context + said)[len(context) - 1 : -1]
        each = jax.nn.log_softmax(logits)[jnp.arange(len(said)), jnp.array(said)]
        np.testing.assert_allclose(total, each.sum(), atol=1e-5)
        assert greedy == (logits.argmax(-1).tolist() == said)
    assert score(CFG, params, pairs)[-1][1]


def test_a_continuation_is_greedy_and_ends_before_the_ending():
    params = init(CFG, jax.random.key(0))
    params["embedding"]["w"] *= 3.0
    prompts = [[0, n % 7] for n in range(20)]
    for prompt, said in zip(prompts, continued(CFG, params, prompts, 6), strict=True):
        logits = logits_of(params, prompt + said)[1:]
        best = logits.argmax(-1).tolist()
        assert best[: len(said)] == said
        assert len(said) == 6 or best[len(said)] == 0


def test_a_text_ends_before_the_first_of_its_ends():
    assert until("a b . c ; d", [";", "."]) == "a b "
    assert until("a b", ["x"]) == until("a b", [""]) == "a b"


def test_an_unknown_word_is_named_with_the_nearest(folder):
    with pytest.raises(ValueError, match="'dd' is none of the 7 words of this model; did you"):
        encode(read_tokenizer(folder), "a b dd")
    with pytest.raises(ValueError, match="<doc> is no word to say: it begins and ends a text"):
        encode(read_tokenizer(folder), "a <doc> b")


class Asked(NamedTuple):
    """A request as the harness makes it."""

    args: tuple


@pytest.fixture
def adapted(folder, monkeypatch):
    """The adapter on a stub of the harness, whose base class does nothing."""
    names = ("lm_eval", "lm_eval.api", "lm_eval.api.model")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].TemplateLM = object
    return adapter(folder)


def test_the_adapter_scores_and_rolls(adapted, folder):
    model = load(folder)
    context, said = adapted.tok_encode("a b"), adapted.tok_encode("c", add_special_tokens=False)
    assert (context, said) == ([0, 1, 2], [3])
    assert adapted._loglikelihood_tokens([(("a b", "c"), context, said)]) == score(
        *model, [(context, said)]
    )
    (rolled,) = adapted.loglikelihood_rolling([Asked(("a b c",))])
    assert rolled == score(*model, [([0], [1, 2, 3])])[0][0]


def test_the_adapter_generates_requests_of_one_length_together(adapted, folder, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "model.harness.continued",
        lambda cfg, params, prompts, steps: calls.append((prompts, steps)) or [[4, 5, 6]] * 2,
    )
    ask = lambda text, **options: Asked((text, options))
    requests = [
        ask("a", max_gen_toks=4, until="e"),
        ask("b", until=None, do_sample=False, temperature=1.0),
        ask("c", max_new_tokens=4, max_tokens=9, temperature=0.0),
        ask("d"),
    ]
    assert adapted.generate_until(requests) == ["d ", "d e f", "d e f", "d e f"]
    assert calls == [([[0, 1], [0, 3]], 4), ([[0, 2], [0, 4]], 256)]
    for more in ({"do_sample": True}, {"temperature": 0.7}, {"num_beams": 4}):
        with pytest.raises(
            NotImplementedError, match="this adapter is greedy, and knows no option"
        ):
            adapted.generate_until([ask("a", **more)])


def test_the_harness_asks_a_local_task(folder):
    """With the extra `harness`: multiple choice, a rolling likelihood and a generation."""
    reason = "lm_eval is not installed (pip install lm_eval); the arithmetic above is what it calls"
    pytest.importorskip("lm_eval", reason=reason)
    import datasets
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate

    documents = [{"text": "a b", "gold": 0}, {"text": "c d", "gold": 1}]
    task = ConfigurableTask(
        config={
            "task": "toy",
            "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(documents)},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{text}}",
            "doc_to_choice": ["e", "f"],
            "doc_to_target": "gold",
        }
    )
    model = adapter(folder)
    found = evaluate(lm=model, task_dict={"toy": task})["results"]["toy"]["acc,none"]
    cfg, params = load(folder)
    right = 0
    for row in documents:
        context = [0, *(WORDS.index(word) for word in row["text"].split())]
        e, f = score(cfg, params, [(context, [5]), (context, [6])])
        right += (f > e) == row["gold"]
    assert found == right / 2
    ask = lambda kind, *args: Instance(request_type=kind, doc={}, arguments=args, idx=0)
    rolling = model.loglikelihood_rolling([ask("loglikelihood_rolling", "a b c")])
    assert rolling == [score(cfg, params, [([0], [1, 2, 3])])[0][0]]
    said = model.generate_until([ask("generate_until", "a b", {"until": ["e"], "max_gen_toks": 4})])
    assert said == [
        until(" ".join(WORDS[t] for t in continued(cfg, params, [[0, 1, 2]], 4)[0]), ["e"])
    ]
