"""Import and export: what goes out comes back the same, and what comes in broken is reported and costs no other row."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import genstore
from genstore import Part, Store
from genstore.errors import InvalidInput, NotFound, StorageFull
from genstore.exchange.export import export_file
from genstore.exchange.form import encoded, record_from_json, record_to_json
from genstore.exchange.import_ import ImportReport, import_file
from genstore.exchange.mapping import FieldMapping

Rows = list[dict[str, Any]]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
FOREIGN: Rows = [
    {"instruction": f"ask {n}", "output": f"answer {n}", "generator": "m", "dataset": "d", "extra": {"n": n}}
    for n in range(5)
]
MAPPING = FieldMapping(prompt="instruction", output="output", model="generator", tags=("dataset",))


def write_lines(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def contents(store: Store) -> Rows:
    """Everything the store holds, relations included, in a form that can be compared."""
    forms = []
    for record in store.iterate():
        own = [edge for edge in store.relations(record.id) if edge.source_id == record.id]
        forms.append(record_to_json(record, own))
    return forms


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """A second, empty store."""
    return genstore.open(tmp_path / "other.store", auto_index=False)


@pytest.fixture
def varied(store: Store) -> Store:
    """A store that holds one of everything that is hard to carry."""
    chat: Rows = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "What is 雪?"}]},
    ]
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    first = store.log(
        chat,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        model="m", provider="p", params={"temperature": 0.25}, usage={"input_tokens": 7, "cost_usd": 1e-05},
        duration_s=1.5, session_id="s", tags=["b", "a"], metadata={"deep": {"list": [1, None, "x"]}, "big": 2**60},
        attributes={"raw": True}, created_at="2024-02-29T23:59:59.123456+02:00",
    )  # fmt: skip
    copy = store.log("same", "text", model="m")
    twin = store.log("same", "text", model="m", on_duplicate="link")
    store.log("draw", PNG, media_type="image/png")
    store.log("cut \ud83d off", "nul \0 inside\u2028end", status="partial")
    store.log("", None, error="boom")
    store.log(Part(role="system", text="alone"), [Part(text="one"), Part(type="reasoning", text="two")], kind="example")
    store.score(first.id, "quality", 0.5, comment="näh", user_id="u")
    store.score(first.id, "quality", 0.5, comment="näh", user_id="u")
    store.score(copy.id, "verdict", label="good", source="model")
    store.relate(first.id, "retrieved", twin.id, rank=1)
    return store


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz", "all.jsonl.zst", "all.parquet"])
def test_import_after_export_is_the_identity(varied: Store, other: Store, tmp_path: Path, name: str) -> None:
    written = varied.export(tmp_path / name)
    report = other.import_(tmp_path / name)
    assert (written, report.stored, report.failed, report.notes) == (7, 7, 0, [])
    assert contents(other) == contents(varied)
    other.close()


def test_importing_an_export_twice_changes_nothing(varied: Store, other: Store, tmp_path: Path) -> None:
    varied.export(tmp_path / "all.jsonl")
    other.import_(tmp_path / "all.jsonl")
    again = other.import_(tmp_path / "all.jsonl")
    assert (again.stored, again.skipped, again.failed, again.scores) == (0, 7, 0, 0)
    assert contents(other) == contents(varied)
    other.close()


def test_scores_that_an_interrupted_import_did_not_reach_are_added_by_the_next(
    varied: Store, other: Store, tmp_path: Path
) -> None:
    varied.export(tmp_path / "all.jsonl")
    bare = [json.loads(line) for line in (tmp_path / "all.jsonl").read_bytes().split(b"\n") if line]
    for form in bare:
        form.pop("scores", None)
        form.pop("relations", None)
    other.import_(write_lines(tmp_path / "bare.jsonl", bare))
    report = other.import_(tmp_path / "all.jsonl")
    assert (report.stored, report.scores) == (0, 3)
    assert contents(other) == contents(varied)
    other.close()


def test_a_record_that_differs_under_the_same_id_is_reported_and_stays(store: Store, tmp_path: Path) -> None:
    record = store.log("question", "answer", model="m")
    form = record_to_json(record)
    form["output"][0]["text"] = "another answer"
    report = store.import_(write_lines(tmp_path / "x.jsonl", [form]))
    assert report.failed == 1
    assert "already with other content" in report.errors[0][1]
    assert store.get(record.id).output_text == "answer"


def test_a_relation_whose_target_is_not_there_is_left_out_and_said(varied: Store, other: Store, tmp_path: Path) -> None:
    varied.export(tmp_path / "some.jsonl", where="session_id:s")
    report = other.import_(tmp_path / "some.jsonl")
    assert (report.stored, report.relations) == (1, 0)
    assert "1 relations were left out" in report.notes[0]
    other.close()


def test_rows_are_mapped_and_what_is_left_becomes_metadata(store: Store, tmp_path: Path) -> None:
    store.import_(write_lines(tmp_path / "x.jsonl", FOREIGN[:1]), mapping=MAPPING)
    record = store.list().records[0]
    assert (record.prompt_text, record.output_text, record.model) == ("ask 0", "answer 0", "m")
    assert (record.tags, record.metadata) == (("d",), {"extra": {"n": 0}})


def test_only_leaves_out_what_is_not_named(store: Store, tmp_path: Path) -> None:
    mapping = {"prompt": "instruction", "output": "output", "metadata": ["extra.n"], "only": True}
    store.import_(write_lines(tmp_path / "x.jsonl", FOREIGN[:1]), mapping=mapping)
    record = store.list().records[0]
    assert (record.metadata, record.tags, record.model) == ({"extra.n": 0}, (), None)


def test_dots_go_into_nested_fields_and_lists(store: Store, tmp_path: Path) -> None:
    row = {
        "request": {"text": "hi", "lang": "en"},
        "choices": [{"text": "ho"}],
        "at": 1_700_000_000_000,
        "conversation": "c",
    }
    mapping = {"prompt": "request.text", "output": "choices.0.text", "created_at": "at", "session": "conversation"}
    store.import_(write_lines(tmp_path / "x.jsonl", [row]), mapping=mapping)
    record = store.list().records[0]
    assert (record.prompt_text, record.output_text, record.session_id) == ("hi", "ho", "c")
    assert record.created_at.isoformat() == "2023-11-14T22:13:20+00:00"
    assert record.metadata["request"] == {"lang": "en"}


@pytest.mark.parametrize(
    ("row", "prompt", "output"),
    [
        ({"prompt": "p", "output": "o"}, "p", "o"),
        ({"prompt": "p", "completion": "o"}, "p", "o"),
        ({"instruction": "p", "input": "more", "output": "o"}, "p\n\nmore", "o"),
        ({"question": "p", "answer": "o"}, "p", "o"),
        ({"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "o"}]}, "p", "o"),
    ],
)
def test_common_shapes_are_recognised(
    store: Store, tmp_path: Path, row: dict[str, Any], prompt: str, output: str
) -> None:
    report = store.import_(write_lines(tmp_path / "x.jsonl", [row]))
    record = store.list().records[0]
    assert report.stored == 1
    assert (record.prompt_text, record.output_text, record.metadata) == (prompt, output, {})


def test_a_field_with_our_name_but_other_content_becomes_metadata(store: Store, tmp_path: Path) -> None:
    row = {"prompt": "p", "output": "o", "status": "completed", "model": "m", "tags": "x", "usage": {"input_tokens": 3}}
    report = store.import_(write_lines(tmp_path / "x.jsonl", [row]))
    assert report.failed == 0
    record = store.list().records[0]
    assert (record.status, record.model, record.usage.input_tokens) == ("ok", "m", 3)
    assert record.metadata == {"status": "completed", "tags": "x"}


def test_a_mapping_that_names_no_field_lists_those_there_are_and_stores_nothing(store: Store, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "x.jsonl", FOREIGN)
    with pytest.raises(InvalidInput, match=r"'modle'.*instruction, output, generator, dataset, extra, extra\.n"):
        store.import_(source, mapping={"prompt": "instruction", "model": "modle"})
    assert store.count() == 0


def test_rows_that_are_not_recognised_list_their_fields(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="fields are left, right"):
        store.import_(write_lines(tmp_path / "x.jsonl", [{"left": 1, "right": 2}]))


def test_an_import_run_twice_stores_once(store: Store, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "x.jsonl", [*FOREIGN, FOREIGN[0]])
    first, second = (store.import_(source, mapping=MAPPING) for _ in range(2))
    assert (first.stored, first.skipped) == (5, 1)
    assert (second.stored, second.skipped) == (0, 6)


@pytest.mark.parametrize(("policy", "stored"), [("keep", 2), ("link", 2), ("skip", 1)])
def test_on_duplicate_is_the_same_rule_as_everywhere(store: Store, tmp_path: Path, policy: Any, stored: int) -> None:
    source = write_lines(tmp_path / "x.jsonl", [FOREIGN[0], FOREIGN[0]])
    report = store.import_(source, mapping=MAPPING, on_duplicate=policy)
    assert (report.stored, store.count()) == (stored, stored)
    assert any(record.duplicate_of for record in store.iterate()) == (policy == "link")


def test_bad_lines_are_reported_by_number_and_cost_no_other(store: Store, tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"prompt": "first", "output": "o"}', b"", b"{broken", b"[1]", b'{"prompt": "\xff"}',
        b'{"prompt": "p", "output": "o", "metadata": {"x": NaN}}', b'{"other": 1}',
        b'{"prompt": "last", "output": "o"}',
    ]  # fmt: skip
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    report = store.import_(tmp_path / "x.jsonl")
    assert (report.read, report.stored, report.failed) == (7, 2, 5)
    assert [line for line, _ in report.errors] == [3, 4, 5, 6, 7]
    assert [record.prompt_text for record in store.iterate()] == ["first", "last"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("lost", [1, 30])
def test_compressed_data_that_breaks_off_is_reported_and_keeps_what_came_before(
    tmp_path: Path, pack: Callable[[bytes], bytes], lost: int
) -> None:
    texts = [hashlib.sha256(bytes([number % 256, number // 256])).hexdigest() for number in range(3_000)]
    whole = pack("".join(json.dumps({"prompt": text, "output": "o"}) + "\n" for text in texts).encode())
    (tmp_path / "x.jsonl").write_bytes(whole[:-lost])
    with genstore.open(tmp_path / "a.store", auto_index=False) as store:
        report = store.import_(tmp_path / "x.jsonl")
        assert (report.stored, report.failed) == (report.read - 1, 1)
        assert report.stored == store.count()
    assert "breaks off" in report.errors[-1][1]


def test_compressed_files_put_one_behind_the_other_are_read_whole(store: Store, tmp_path: Path) -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in FOREIGN]
    (tmp_path / "x.zst").write_bytes(b"".join(zstandard.compress(line) for line in lines))
    (tmp_path / "x.gz").write_bytes(b"".join(gzip.compress(line) for line in lines))
    assert store.import_(tmp_path / "x.zst", mapping=MAPPING).stored == 5
    assert store.import_(tmp_path / "x.gz", mapping=MAPPING).skipped == 5


def test_one_large_list_and_utf16_say_what_to_do(store: Store, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[\n{}\n]")
    (tmp_path / "wide.jsonl").write_bytes('{"prompt": "p"}'.encode("utf-16"))
    with pytest.raises(InvalidInput, match="jq -c"):
        store.import_(tmp_path / "list.json")
    with pytest.raises(InvalidInput, match="UTF-16"):
        store.import_(tmp_path / "wide.jsonl")
    with pytest.raises(NotFound, match=r"absent\.jsonl"):
        store.import_(tmp_path / "absent.jsonl")


def test_parquet_of_other_tools_is_read_with_dates_numbers_and_bytes(store: Store, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import datetime

    import pyarrow.parquet as parquet

    rows = [
        {
            "prompt": "draw",
            "image": {"bytes": PNG, "path": "a.png"},
            "day": datetime.date(2024, 1, 2),
            "n": float("nan"),
        }
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    report = store.import_(tmp_path / "x.parquet", mapping={"prompt": "prompt", "output": "image"})
    record = store.list().records[0]
    assert report.stored == 1
    assert (record.output[0].data, record.output[0].media_type) == (PNG, "image/png")
    assert record.metadata == {"day": "2024-01-02"}


def test_a_file_that_only_calls_itself_parquet_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(InvalidInput, match="not a readable Parquet file"):
        store.import_(tmp_path / "x.parquet")


def test_the_limit_and_the_progress_count_rows(store: Store, tmp_path: Path) -> None:
    seen: list[int] = []

    def progress(report: ImportReport) -> None:
        seen.append(report.read)

    import_file(store, write_lines(tmp_path / "x.jsonl", FOREIGN), mapping=MAPPING, limit=3, progress=progress)
    assert (seen, store.count()) == ([3], 3)


def test_an_export_that_fails_leaves_the_old_file_and_no_trace(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "x.jsonl"
    target.write_text("old")
    store.log("p", "o")

    def stop(done: int, left: int) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        export_file(store, target, overwrite=True, progress=stop)
    assert target.read_text() == "old"
    assert list(tmp_path.glob(".x*")) == []
    with pytest.raises(StorageFull, match="absent"):
        export_file(store, tmp_path / "absent" / "x.jsonl")
    with pytest.raises(InvalidInput, match=r"x\.csv"):
        export_file(store, tmp_path / "x.csv")


def test_an_export_takes_a_filter_and_writes_to_an_open_file(store: Store) -> None:
    store.log("p", "o", model="a")
    store.log("p", "o", model="b")
    file = io.BytesIO()
    assert export_file(store, file, where="model:b") == 1
    assert json.loads(file.getvalue())["model"] == "b"


def test_a_form_with_a_lone_surrogate_is_json_that_reads_back() -> None:
    assert json.loads(encoded({"a": "cut \ud83d", "b": "雪"})) == {"a": "cut \ud83d", "b": "雪"}
    assert "雪" in encoded({"b": "雪"}).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": [{"role": "user", "text": 5}]}, r"prompt\[0\]\.text"),
        ({"output": [{"role": "assistant", "data": "%%"}]}, r"output\[0\]\.data is not base64"),
        ({"output": [{"role": "assistant", "missing": True}]}, r"output\[0\] has no body"),
        ({"scores": [{"name": "q"}]}, "neither a value nor a label"),
        ({"relations": [{"role": "likes", "target_id": "x"}]}, "'likes'"),
        ({"id": "42"}, "'42'"),
    ],
)  # fmt: skip
def test_a_form_that_is_wrong_names_the_field(change: dict[str, Any], message: str) -> None:
    form = {"id": "01234567-89ab-7def-8123-456789abcdef", "project": "p", "kind": "generation", "prompt": []}
    with pytest.raises(InvalidInput, match=message):
        record_from_json({**form, "created_at": "2024-01-01", **change})
