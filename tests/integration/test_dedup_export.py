"""A training set without copies, and without what a held-out file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genstore import DedupRule, Store
from genstore.dedup.held_out import Dropped
from genstore.errors import InvalidInput
from tests.integration.test_dedup_insert import EDITED, OTHER, STORY


def exported(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def write_rows(path: Path, *outputs: str, **fields: Any) -> Path:
    path.write_text("".join(json.dumps({"prompt": "q", "output": output, **fields}) + "\n" for output in outputs))
    return path


def test_what_duplicates_a_held_out_row_is_left_out_and_reported(store: Store, tmp_path: Path) -> None:
    leaked = store.log(output=EDITED).id
    kept = store.log(output=OTHER).id
    held_out = write_rows(tmp_path / "test.jsonl", "Something else entirely, said in seven words or more.", STORY)
    dropped: list[Dropped] = []
    target = tmp_path / "train.jsonl"
    assert store.export(target, against=held_out, on_dropped=dropped.append) == 1
    assert exported(target) == [kept]
    (one,) = dropped
    assert (one.record_id, one.reason, one.of) == (leaked, "held_out", "line 2")
    assert 0.5 <= one.score < 1
    assert store.count() == 2


def test_copies_among_what_is_written_are_left_out_but_for_the_best(store: Store, tmp_path: Path) -> None:
    ids = [store.log(output=text).id for text in (STORY, EDITED, OTHER)]
    store.score(ids[1], "quality", 1.0)
    dropped: list[Dropped] = []
    assert store.export(tmp_path / "train.jsonl", dedup="near", on_dropped=dropped.append) == 2
    assert exported(tmp_path / "train.jsonl") == ids[1:]
    assert [(one.record_id, one.reason, one.of) for one in dropped] == [(ids[0], "duplicate", ids[1])]


def test_both_at_once_and_only_among_what_the_filter_selects(store: Store, tmp_path: Path) -> None:
    store.log(output=STORY, tags=["other"])
    ids = [store.log(output=text, tags=["train"]).id for text in (STORY, EDITED, OTHER, OTHER)]
    held_out = write_rows(tmp_path / "test.jsonl", OTHER.upper())
    dropped: list[Dropped] = []
    options: dict[str, Any] = {"where": "tag:train", "dedup": "near", "on_dropped": dropped.append}
    assert store.export(tmp_path / "train.jsonl", against=held_out, **options) == 1
    assert exported(tmp_path / "train.jsonl") == ids[:1]
    assert {one.record_id: one.reason for one in dropped} == {
        ids[1]: "duplicate",
        ids[2]: "held_out",
        ids[3]: "held_out",
    }


def test_the_exact_level_lets_near_copies_pass(store: Store, tmp_path: Path) -> None:
    store.log(output=EDITED)
    store.log(output=f"  {STORY}\n")
    held_out = write_rows(tmp_path / "test.jsonl", STORY)
    assert store.export(tmp_path / "a.jsonl", against=held_out, dedup="exact") == 1


def test_the_prompts_of_a_file_with_fields_of_its_own_can_be_held_out(store: Store, tmp_path: Path) -> None:
    store.log(prompt=EDITED, output="yes")
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"frage": STORY, "antwort": "no"}) + "\n")
    options: dict[str, Any] = {"dedup": DedupRule("near", on="prompt"), "mapping": {"prompt": "frage"}}
    assert store.export(tmp_path / "a.jsonl", against=path, **options) == 0


def test_a_held_out_file_with_a_bad_line_and_a_level_it_has_no_vectors_for_are_refused(
    store: Store, tmp_path: Path
) -> None:
    store.log(output=STORY)
    path = write_rows(tmp_path / "test.jsonl", OTHER)
    with path.open("a") as file:
        file.write("{broken\n")
    with pytest.raises(InvalidInput, match=r"line 2 of .*test\.jsonl cannot be used: not JSON"):
        store.export(tmp_path / "a.jsonl", against=path)
    with pytest.raises(InvalidInput, match="compared by its wording; pass the level exact or near"):
        store.export(tmp_path / "a.jsonl", against=path, dedup="semantic")
    assert not (tmp_path / "a.jsonl").exists()
