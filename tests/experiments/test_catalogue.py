"""All experiments into one folder, what they share, and what is recorded of them."""

import ast
import json
import pathlib
import shutil

import pytest

from experiments import catalogue, report, run

WORDS = ["all", "--size", "smoke", "--seeds", "1"]
OLD = r"| D9 | berglund | old: p(a \| b) | 1.00 [0.90, 1.10] EM | > 0.5 | – | reproduced |"


@pytest.fixture(scope="module")
def out(tmp_path_factory, flagship):
    """A catalogue of two: one that is run, its stages trained already, one that reads text."""
    folder = tmp_path_factory.mktemp("all") / "out"
    folder.mkdir()
    (folder / "stages").symlink_to(flagship / "stages")
    with pytest.MonkeyPatch.context() as patch:
        for module in (run, catalogue):
            patch.setattr(module, "names", lambda: ["berglund", "flagship"])
        assert run.main([*WORDS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A copy of the experiments that may be written into."""
    here = tmp_path / "experiments"
    here.mkdir()
    for name in ("flagship", "berglund"):
        shutil.copy(catalogue.HERE / f"{name}.py", here)
    monkeypatch.setattr(catalogue, "HERE", here)
    monkeypatch.setattr(catalogue, "RESULTS", here / "RESULTS.md")
    return here


def test_the_page_links_every_claim_to_its_experiment(out):
    page = (out / "index.html").read_text()
    claims = json.loads((out / "flagship" / "claims.json").read_text())
    assert page.count("<a href='flagship/report.html'>") == len(claims) > 5
    assert (out / "flagship" / "report.html").is_file() and "Not there: berglund" in page
    assert page.index("<td>B13</td>") < page.index("<td>C1</td>") < page.index("<td>D1</td>")


def test_stages_lie_where_the_next_experiment_finds_them(out, tmp_path, capsys):
    assert not (out / "flagship" / "stages").exists()
    words = ["flagship", "--size", "smoke", "--seeds", "1", "--out", str(tmp_path / "again")]
    assert run.main([*words, "--stages", str(out)]) == 0
    assert capsys.readouterr().out.count("already there") == 5
    one, two = (p / "claims.json" for p in (out / "flagship", tmp_path / "again"))
    assert one.read_text() == two.read_text()


def test_one_that_fails_is_named_and_the_others_run(out, monkeypatch, tmp_path, capsys):
    def broken(settings):
        raise ValueError("a world without nouns")

    for module in (run, catalogue):
        monkeypatch.setattr(module, "names", lambda: ["berglund", "flagship"])
    monkeypatch.setattr(catalogue.find("flagship"), "stages", broken)
    assert run.main([*WORDS, "--out", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "a world without nouns" in said.err and "no finished experiment" in said.err


def test_a_record_is_written_once_and_keeps_what_others_found(out, repository):
    (repository / "RESULTS.md").write_text(f"{OLD}\n\nThe runs:\n\n- berglund: 2026, toy\n")
    before = (repository / "flagship.py").read_text()
    found = catalogue.finished(out)
    catalogue.record(found)
    text = (repository / "RESULTS.md").read_text()
    claims = json.loads((out / "flagship" / "claims.json").read_text())
    assert OLD in text and "- berglund: 2026, toy" in text
    assert text.count("| flagship |") == len(claims)
    source = (repository / "flagship.py").read_text()
    told = ast.get_docstring(ast.parse(source)).rpartition("\nResult ")[2]
    assert "smoke, 1 seeds" in told and claims[0]["verdict"] in told
    assert source.partition("\nResult ")[0] == before.partition("\nResult ")[0]
    assert source.partition('"""\n\nimport')[2] == before.partition('"""\n\nimport')[2]
    catalogue.record(found)
    assert (repository / "RESULTS.md").read_text() == text
    assert (repository / "flagship.py").read_text() == source


def test_one_run_is_recorded_without_the_others(out, repository, tmp_path, monkeypatch):
    """Wherever it lies; what RESULTS.md says of others stays, and its head counts all anew."""
    run_again = tmp_path / "flagship-toy"
    run_again.mkdir()
    shutil.copy(out / "flagship" / "spec.json", run_again)
    found = json.loads((out / "flagship" / "claims.json").read_text())[:2]
    found[0]["verdict"], found[1]["verdict"] = "opposite", "inconclusive"
    (run_again / "claims.json").write_text(json.dumps(found))
    stale = OLD.replace("berglund", "flagship")
    gone = OLD.replace("berglund", "an_experiment_that_is_gone")
    runs = "- an_experiment_that_is_gone: 2025\n- berglund: 2026, toy\n- flagship: 2025\n"
    (repository / "RESULTS.md").write_text(f"{OLD}\n{stale}\n{gone}\n\n{runs}")
    berglund = (repository / "berglund.py").read_text()
    monkeypatch.setattr(report, "write", lambda folder: folder / "report.html")
    assert report.main([str(run_again), "--record"]) == 0
    text = (repository / "RESULTS.md").read_text()
    assert text.count("| flagship |") == 2 and OLD in text and stale not in text
    assert "3 claims of 2 experiments: 1 reproduced, 1 opposite, 1 inconclusive." in text
    assert text.count("\n- ") == 2 and "- berglund: 2026, toy\n- flagship: 20" in text
    assert (repository / "berglund.py").read_text() == berglund
    assert found[0]["claim"][:20] in (repository / "flagship.py").read_text()


def test_the_last_verdict_is_of_the_newest_run_or_of_the_record(out, repository, tmp_path):
    assert catalogue.last("flagship", tmp_path) == "not yet run"
    catalogue.record(catalogue.finished(out))
    recorded = catalogue.last("flagship", tmp_path)
    assert "C1: " in recorded and "D1: " in recorded
    newest = tmp_path / "runs" / "flagship-toy"
    newest.mkdir(parents=True)
    shutil.copy(out / "flagship" / "claims.json", newest)
    assert catalogue.last("flagship", tmp_path / "runs") == recorded
    (newest / "claims.json").write_text(json.dumps([{"row": "D1", "verdict": "opposite"}]))
    assert catalogue.last("flagship", tmp_path / "runs") == "D1: 1 opposite"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["all", "/nowhere"], "/nowhere has no finished experiment"),
        (["all", "--recrd"], "--recrd is not understood"),
        (["--record"], "--record is not understood"),
        (["all", "one", "two"], "all one two is not understood"),
    ],
)
def test_a_report_of_nothing_says_so(words, says, capsys):
    assert report.main(words) == 2
    assert says in capsys.readouterr().err


def test_every_experiment_has_a_result_or_says_that_it_has_none():
    for name in catalogue.names():
        source = pathlib.Path(catalogue.HERE / f"{name}.py").read_text()
        assert "\nResult    " in source, name
