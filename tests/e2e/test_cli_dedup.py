"""Duplicates on the command line: shown, acted on after asking, left out of exports, thresholds calibrated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import genstore
from tests.e2e.test_cli import Answer, Run, run  # noqa: F401 - run is a fixture
from tests.integration.test_dedup_insert import EDITED, OTHER, STORY


@pytest.fixture
def ids(run: Run, tmp_path: Path) -> list[str]:  # noqa: F811
    """A store with a story, its edit, and something else; each took tokens."""
    with genstore.open(tmp_path / "genstore.store", auto_index=False) as store:
        usage = {"input_tokens": 100, "output_tokens": 20}
        return [store.log(prompt="p", output=text, usage=usage, model="m").id for text in (STORY, EDITED, OTHER)]


def test_dedup_shows_clusters_and_changes_nothing(run: Run, ids: list[str]) -> None:  # noqa: F811
    shown = run("dedup", "--level", "near")
    assert shown.code == 0
    assert ids[0] in shown.out
    assert "shares" in shown.out
    assert "1 cluster, 1 duplicate of their representatives; they took 120 tokens" in shown.out
    found = run("dedup", "--json").json
    assert found["clusters"][0]["representative"] == ids[0]
    assert found["clusters"][0]["duplicates"][0]["record_id"] == ids[1]
    assert (found["level"], found["threshold"], found["applied"]) == ("near", 0.5, None)
    assert run("dedup", "--level", "exact").out == "no duplicates\n"


def test_acting_asks_first_and_prints_a_receipt(run: Run, ids: list[str]) -> None:  # noqa: F811
    refused = run("dedup", "--apply", "merge")
    assert refused.code == 2
    assert "1 records would be touched by merge; pass --yes" in refused.err
    assert len(run("list", "--json").json["records"]) == 3
    merged = run("dedup", "--apply", "merge", "--yes")
    assert "merged 1 record in 1 cluster" in merged.out
    assert f"saved: {len(EDITED.encode())} bytes, 120 tokens" in merged.out
    assert [record["id"] for record in run("list", "--json").json["records"]] == [ids[2], ids[0]]


def test_linking_is_reported_as_json(run: Run, ids: list[str]) -> None:  # noqa: F811
    applied = run("dedup", "--apply", "link", "--yes", "--json").json["applied"]
    assert (applied["action"], applied["records"], applied["tokens"]) == ("link", 1, 120)
    assert run("show", ids[1], "--json").json["duplicate_of"] == ids[0]


def test_bad_values_are_refused_by_name(run: Run, ids: list[str]) -> None:  # noqa: F811
    def refused(*arguments: str) -> Answer:
        answer = run("dedup", *arguments)
        assert answer.code == 2
        return answer

    assert "the level is 'fuzzy'" in refused("--level", "fuzzy").err
    assert "the threshold is 2.0" in refused("--threshold", "2").err
    assert "the action is 'burn'" in refused("--apply", "burn").err
    assert "on_duplicate is 'drop'" in refused("policy", "drop").err


def test_a_policy_is_set_shown_and_followed(run: Run, ids: list[str]) -> None:  # noqa: F811
    assert "keep" in run("dedup", "policy").out
    set_ = run("dedup", "policy", "skip", "--level", "near")
    assert set_.out == "project default: skip near duplicates of the output, from a score of 0.5\n"
    assert run("log", "--output", EDITED + " Bye.").out.strip() in ids[:2]
    assert run("dedup", "policy", "--json").json["rule"]["level"] == "near"
    assert len(run("list", "--json").json["records"]) == 3


def test_log_and_import_take_a_level(run: Run, ids: list[str], tmp_path: Path) -> None:  # noqa: F811
    assert run("log", "--output", STORY.upper(), "--on-duplicate", "skip", "--dedup", "near").out.strip() == ids[0]
    rows = [{"output": text} for text in (STORY + " Bye.", "A text that nobody has said before in this store.")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("import", "rows.jsonl", "--output", "output", "--dedup", "near", "--no-embed")
    assert "2 rows: 1 stored, 1 there already" in done.out


def test_another_shingle_setting_is_refused_until_redone(
    run: Run,  # noqa: F811
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("dedup", "policy", "link", "--level", "near")
    monkeypatch.setenv("GENSTORE_SHINGLE_WORDS", "2")
    refused = run("dedup")
    assert refused.code == 2
    assert "run `genstore dedup redo`" in refused.err
    assert run("log", "--output", STORY).code == 2
    assert "sketched anew" in run("dedup", "redo").out
    assert run("dedup").code == 0
    assert run("log", "--output", STORY).code == 0


def test_an_export_leaves_out_copies_and_leaks_and_reports_them(run: Run, ids: list[str], tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "test.jsonl").write_text(json.dumps({"output": OTHER}) + "\n")
    done = run("export", "train.jsonl", "--dedup", "near", "--against", "test.jsonl", "--report", "dropped.jsonl")
    assert done.code == 0, done.err
    assert "1 record written" in done.out
    assert "left out: 1 duplicate, 1 that duplicate a held-out row" in done.out
    report = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert {row["record_id"]: (row["reason"], row["of"]) for row in report} == {
        ids[1]: ("duplicate", ids[0]),
        ids[2]: ("held_out", "line 1"),
    }


def test_calibrate_prints_the_curve_and_the_threshold(run: Run, tmp_path: Path) -> None:  # noqa: F811
    rows = [(1, STORY, EDITED), (1, OTHER, OTHER.upper()), (0, STORY, OTHER), (0, "Yes", "No")]
    lines = ["label\tone\tother", *("\t".join(map(str, row)) for row in rows)]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    done = run("dedup", "calibrate", "pairs.tsv", "--level", "near", "--precision", ".99", "--plot", "curve.png")
    assert done.code == 0, done.err
    assert "precision 1.000 (wanted 0.99), recall 1.000 on 4 pairs" in done.out
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    found = run("dedup", "calibrate", "pairs.tsv", "--level", "semantic", "--json").json
    assert found["chosen"]["recall"] > 0
