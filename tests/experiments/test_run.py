"""Every experiment from command line to page, at smoke size, and what it says to bad input."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments import report, run

ROOT = pathlib.Path(__file__).parents[2]
FILES = ("items.parquet", "results.parquet", "ledger.parquet", "claims.json", "spec.json")


def test_the_flagship_leaves_all_its_files(flagship):
    for name in (*FILES, "report.html"):
        assert (flagship / name).stat().st_size > 0, name


def test_items_hold_one_row_a_question_and_stage(flagship):
    items = pq.read_table(flagship / "items.parquet").to_pylist()
    recall = [row for row in items if row["measure"] == "recall"]
    following = [row for row in items if row["measure"] == "following"]
    # 32 pairs asked in 2 languages and directions, 32 homes in 2 languages; 2 seeds.
    assert len(recall) == (32 * 4 + 32 * 2) * 2
    # 6 tasks x 16 items x 2 languages x 3 steps x 4 tunings, 2 seeds.
    assert len(following) == 6 * 16 * 2 * 3 * 4 * 2
    for row in following:
        assert row["right"] + row["other"] + row["wrong"] == 1
    cells = {(r["group"], r["language"], r["direction"]) for r in recall if r["stated"] == "yes"}
    assert ("G1", "L1", "forward") in cells and ("G1", "L1", "reverse") not in cells


def test_results_are_the_means_of_the_items(flagship):
    items = pq.read_table(flagship / "items.parquet").to_pylist()
    results = pq.read_table(flagship / "results.parquet").to_pylist()
    recall = [row for row in results if row["measure"] == "recall" and row["metric"] == "log_odds"]
    # Groups x names x cells of the pairs, and the homes' cells; one row a slice and seed.
    assert sum(row["items"] for row in recall) == (32 * 4 + 32 * 2) * 2
    slices = ("measure", "mixer", "seed", "relation", "group", "names", "ambiguous")
    key = (*slices, "language", "direction")
    for row in recall[::17]:
        own = [item["log_odds"] for item in items if all(item[k] == row[k] for k in key)]
        assert row["items"] == len(own)
        assert row["value"] == pytest.approx(np.mean(own))


def test_claims_cover_the_promised_rows_with_intervals(flagship):
    claims = json.loads((flagship / "claims.json").read_text())
    assert {c["row"] for c in claims} == {"D1", "B13", "D4", "C1"}
    for claim in claims:
        assert claim["verdict"] in ("reproduced", "opposite", "inconclusive")
        if claim["estimate"] is not None:
            assert claim["ci_low"] <= claim["estimate"] <= claim["ci_high"]


def test_the_ledger_is_that_of_the_rows_trained_on(flagship):
    ledger = pq.read_table(flagship / "ledger.parquet").to_pylist()
    assert sum(row["exposures"] for row in ledger) > 0
    assert not any(row["exposures"] for row in ledger if not row["stated"])


def test_the_page_stands_alone(flagship):
    page = (flagship / "report.html").read_text()
    assert page.count("<svg xmlns") >= 6
    assert "src=" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_the_report_is_made_anew_from_the_files_alone(flagship, tmp_path):
    for name in (*FILES, "curves.parquet"):
        shutil.copy(flagship / name, tmp_path)
    (tmp_path / "claims.json").write_text("[]")  # as if the rules had been others
    assert report.main([str(tmp_path)]) == 0
    for name in ("report.html", "claims.json"):
        assert (tmp_path / name).read_bytes() == (flagship / name).read_bytes()


def test_a_finished_run_is_not_run_again(flagship, capsys):
    before = {p: p.stat().st_mtime_ns for p in flagship.glob("stages/*/params")}
    seconds = lambda: json.loads((flagship / "spec.json").read_text())["run"]["seconds"]
    words, took = ["flagship", "--size", "smoke", "--seeds", "1", "--out", str(flagship)], seconds()
    assert run.main(words) == 0
    assert "already there" in capsys.readouterr().out
    assert seconds() >= took > 0, "what the folder cost is not forgotten"
    assert {p: p.stat().st_mtime_ns for p in flagship.glob("stages/*/params")} == before


def test_a_folder_of_another_spec_is_refused_with_the_difference(flagship, tmp_path, capsys):
    spec = json.loads((flagship / "spec.json").read_text())
    spec["protocol"][0]["recipe"]["steps"] = 999
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    words = ["flagship", "--size", "smoke", "--out", str(tmp_path)]
    assert run.main(words) == 2
    error = capsys.readouterr().err
    assert "recipe.steps" in error and "999" in error and "--out" in error
    assert not (tmp_path / "stages").exists()


@pytest.mark.parametrize("held", ['{"is": "Stage", "model": {}}', '{"experi'])
def test_a_folder_of_another_program_is_refused_in_one_line(held, tmp_path, capsys):
    (tmp_path / "spec.json").write_text(held)
    assert run.main(["flagship", "--size", "smoke", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "spec.json is none of an experiment" in error and error.count("\n") == 1


def test_people_are_no_slices_and_what_was_asked_with_is_no_metric():
    columns = {"measure": ["x"] * 4, "seed": [0] * 4, "person": [0, 2, 0, 2]}
    columns |= {"normaliser": [16.0, 16.0, 0.1, 0.1], "apart": [1.0, 2.0, 8.0, 9.0]}
    items = pa.table(columns)
    rows = run.summarise(items).sort_by("normaliser").to_pylist()
    assert [(r["normaliser"], r["metric"], r["value"], r["items"]) for r in rows] == [
        (0.1, "apart", 8.5, 2), (16.0, "apart", 1.5, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["flagshipp"], "did you mean flagship"),
        (["nothing"], "There are: "),
        (["flagship", "--seeds", "0"], "seeds=0"),
        (["flagship", "--mixers", "glaa"], "did you mean gla"),
        (["flagship", "--mixers", "gla,softmax,gla"], "mixers=gla,softmax,gla names one twice"),
        (["berglund"], "--folder"),
        (["berglund", "--folder", "/nowhere"], "/nowhere/all_prompts_train.jsonl"),
        (["bilingual_text", "--folder", "/nowhere"], "/nowhere/train.en.gz"),
    ],
)
def test_bad_input_is_one_line_with_the_way_out(words, says, capsys, tmp_path):
    arguments = [*words, "--out", str(tmp_path / "out")] if len(words) > 1 else words
    assert run.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_kill_while_the_spec_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    module = types.SimpleNamespace(__name__="experiments.toy", stages=lambda _: [])
    settings = run.find("flagship").Settings(size="smoke")
    run.claim_folder(tmp_path, module, settings)

    def cut(path, text, **_):
        with path.open("w") as file:
            file.write(text[:9])
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "write_text", cut)
    with pytest.raises(KeyboardInterrupt):
        run.claim_folder(tmp_path, module, settings)
    assert json.loads((tmp_path / "spec.json").read_text())["experiment"] == "toy"


def test_an_impossible_size_is_refused(capsys):
    with pytest.raises(SystemExit) as refused:
        run.main(["flagship", "--size", "huge"])
    assert refused.value.code != 0
    assert "toy" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    assert run.main(["flagship", "--size", "smoke", "--out", str(tmp_path / "file")]) == 2
    assert "--out" in capsys.readouterr().err


def test_the_list_names_every_experiment_with_rows_and_cost(capsys):
    assert run.main(["--list"]) == 0
    said = capsys.readouterr().out
    for name in run.names():
        assert name in said
        assert run.find(name).ROWS and run.find(name).COST


def test_tables_that_do_not_fit_on_the_disk_are_one_line(flagship, mounted, capsys):
    """Its stages are finished elsewhere, so only what is gathered is written."""
    room = (flagship / "spec.json").stat().st_size + 2**15  # for the record, and too little else
    disk = mounted(f"size={room}")
    words = ["flagship", "--size", "smoke", "--seeds", "2"]
    assert run.main([*words, "--stages", str(flagship), "--out", str(disk / "out")]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: the disk of \S+ is full; .*goes on\n", error), error


def test_the_record_counts_the_cores_that_the_process_may_use(monkeypatch):
    for cores, said in (({0, 1, 5}, "3 CPU cores"), ({3}, "1 CPU core")):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, own=cores: own, raising=False)
        assert run.environment()["device"] == said
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert run.environment()["device"] == "7 CPU cores"


ENDS = {signal.SIGINT: 130, signal.SIGTERM: 0, signal.SIGKILL: -signal.SIGKILL}


def start(out):
    command = [sys.executable, "-m", "experiments.run", "flagship", "--size", "smoke"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    alone = os.environ | {"XLA_FLAGS": ""}  # one device, as a user has
    return subprocess.Popen(
        [*command, "--seeds", "1", "--out", str(out)], cwd=ROOT, env=alone, **quiet
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_a_run_interrupted_at_any_stage_ends_like_one_that_was_not(how, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole).wait() == 0
    for stages in (1, 3):
        process = start(broken)
        while process.poll() is None and len(list(broken.glob("stages/*/metrics.jsonl"))) < stages:
            time.sleep(0.05)
        process.send_signal(how)
        assert process.wait() == ENDS[how]
    assert start(broken).wait() == 0
    for name in ("items.parquet", "ledger.parquet", "curves.parquet"):
        assert pq.read_table(broken / name).equals(pq.read_table(whole / name)), name


@pytest.mark.slow
def test_berglund_scores_the_shipped_sentences(corpora, tmp_path):
    folder = corpora / "reversal_curse"
    words = ["berglund", "--size", "smoke", "--seeds", "1", "--folder", str(folder)]
    assert run.main([*words, "--out", str(tmp_path)]) == 0
    items = pq.read_table(tmp_path / "items.parquet")
    assert len(items) == 4 * 300
    assert all(
        c["estimate"] is not None for c in json.loads((tmp_path / "claims.json").read_text())
    )


@pytest.mark.slow
def test_bilingual_text_reports_bits_for_both_languages(corpora, tmp_path):
    folder = corpora / "multi30k"
    words = ["bilingual_text", "--size", "smoke", "--seeds", "1", "--folder", str(folder)]
    assert run.main([*words, "--ratio", "0.1", "--out", str(tmp_path)]) == 0
    items = pq.read_table(tmp_path / "items.parquet")
    for language in ("L1", "L2"):
        own = [row for row in items.to_pylist() if row["language"] == language]
        bits = {name: np.mean([row[name] for row in own]) for name in ("unigram", "bigram")}
        # Counts of the same text: pairs of tokens tell more than tokens, below the 8 of a byte.
        assert 1 < bits["bigram"] < bits["unigram"] < 8
