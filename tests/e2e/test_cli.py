"""The command line as a user types it: what it prints, what it exits with, what it leaves in the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import genstore
from genstore.cli.exits import EXIT_CODES
from genstore.cli.main import main
from genstore.errors import GenstoreError

COMMAND = [sys.executable, "-m", "genstore.cli.main"]


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder, in this process; use `process` where a process of its own matters."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENSTORE_STORE", raising=False)

    def run_command(*arguments: str) -> Answer:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        code = stopped.value.code
        assert isinstance(code, int)
        return Answer(code, *capfd.readouterr())

    return run_command


def process(folder: Path, *arguments: str, given: str = "") -> Answer:
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def write_rows(path: Path, count: int) -> Path:
    rows = ({"instruction": f"question {number}", "output": f"answer {number}"} for number in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_log_search_list_show_and_delete(run: Run) -> None:
    record_id = run(
        "log", "--prompt", "Which animals swim?", "--output", "Whales and dolphins.", "--model", "m1"
    ).out.strip()
    run("log", "--prompt", "Which animals fly?", "--output", "Eagles.", "--model", "m2", "--tag", "birds")
    found = run("search", "whales", "--where", "model:m1", "--json").json
    assert [hit["record"]["id"] for hit in found["hits"]] == [record_id]
    assert (found["pending"], found["pending_dense"]) == (0, 0)
    assert "Whales and dolphins." in run("search", "whales", "--mode", "lexical").out
    assert [line.split("\t")[2] for line in run("list").out.splitlines()] == ["m2", "m1"]
    assert run("show", record_id, "--json").json["model"] == "m1"
    assert "Whales and dolphins." in run("show", record_id).out
    similar = run("similar", record_id, "--json").json
    assert [hit["record"]["model"] for hit in similar["hits"]] == ["m2"]
    assert run("delete", record_id, "--json").json["records"] == 1
    assert run("show", record_id).code == 3
    assert run("verify").code == 0


def test_scores_and_tags(run: Run) -> None:
    record_id = run("log", "--output", "x", "--tag", "draft").out.strip()
    assert run("score", record_id, "quality", "0.8", "--comment", "fine").code == 0
    assert run("score", record_id, "drift", "-1.5", "--json").json["value"] == -1.5
    assert run("score", record_id, "verdict", "good").code == 0
    assert run("tag", record_id, "+good", "-draft").out.strip() == "good"
    assert run("tag", record_id, "--add", "a", "--remove", "good", "--json").json == {"tags": ["a"]}
    listed = run("list", "--where", "score.quality>=0.8 score.verdict:good tag:a", "--json").json
    assert [record["id"] for record in listed["records"]] == [record_id]
    assert run("score", record_id, "quality", "nan").code == 2
    assert run("tag", record_id).code == 2


def test_the_cursor_of_a_page_continues_behind_it(run: Run) -> None:
    for number in range(3):
        run("log", "--output", f"text {number}")
    first = run("list", "--limit", "2", "--json").json
    rest = run("list", "--limit", "2", "--cursor", first["cursor"], "--json").json
    texts = [record["output"][0]["text"] for page in (first, rest) for record in page["records"]]
    assert texts == ["text 2", "text 1", "text 0"]
    assert rest["cursor"] is None


def test_texts_come_from_standard_input_and_from_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "question.txt").write_text("from a file")
    (tmp_path / "dot.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    logged = process(tmp_path, "log", "--prompt", "@question.txt", "--output", "-", "--json", given="from a pipe")
    form = logged.json
    assert (form["prompt"][0]["text"], form["output"][0]["text"]) == ("from a file", "from a pipe")
    image = run("log", "--prompt", "draw", "--image", "dot.png", "--json").json["output"][0]
    assert (image["type"], image["media_type"]) == ("image", "image/png")
    assert run("log", "--prompt", "@absent.txt").code == 3


def test_import_export_and_import_again(run: Run, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 20)
    assert run("import", "rows.jsonl", "--no-embed", "--json").json["stored"] == 20
    again = run("import", "rows.jsonl", "--no-embed")
    assert "0 stored, 20 there already" in again.out
    assert run("export", "all.jsonl.zst").code == 0
    copied = run("--store", "copy.store", "import", "all.jsonl.zst", "--no-embed", "--json").json
    assert (copied["stored"], copied["failed"]) == (20, 0)
    here, there = (run("export", "-", "--store", name).out for name in ("genstore.store", "copy.store"))
    assert here == there
    assert len(here.splitlines()) == 20


def test_import_maps_fields_and_reports_bad_lines_without_stopping(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"ask": "p", "say": "o", "by": "m", "set": "d"}\n{broken\n')
    mapped = ("--prompt", "ask", "--output", "say", "--model", "by", "--tag", "set", "--no-embed")
    answer = run("import", "x.jsonl", *mapped)
    assert answer.code == 2
    assert "row 2: not JSON" in answer.err
    assert "1 stored, 0 there already, 1 failed" in answer.out
    record = run("list", "--json").json["records"][0]
    assert (record["model"], record["tags"]) == ("m", ["d"])
    assert "no row has the field 'nope'" in run("import", "x.jsonl", "--prompt", "nope").err


def test_what_is_not_embedded_yet_is_said_and_can_be_finished(run: Run, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 3)
    assert "reindex --pending" in run("import", "rows.jsonl", "--no-embed").out
    assert "for their meaning" in run("stats").out
    assert run("reindex", "--pending", "--json").json == {"pending": 0, "pending_dense": 0}
    assert run("stats", "--json").json["pending_dense"] == 0


def test_the_store_may_be_named_before_or_behind_the_verb_or_in_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--store", "a.store", "log", "--output", "x")
    run("log", "--output", "--store=b.store", "--output=y", "--store", "a.store", "--project=p")
    assert len(run("list", "--json", "--store=a.store").json["records"]) == 1
    assert len(run("list", "--json", "--store", "a.store", "--project", "p").json["records"]) == 1
    monkeypatch.setenv("GENSTORE_STORE", str(tmp_path / "a.store"))
    assert len(run("list", "--json").json["records"]) == 1
    assert not (tmp_path / "genstore.store").exists()


def test_reading_verbs_do_not_make_a_store(run: Run, tmp_path: Path) -> None:
    for verb in (["list"], ["search", "x"], ["show", "0"], ["stats"], ["export", "x.jsonl"], ["verify"], ["reindex"]):
        answer = run(*verb)
        assert answer.code == 3, verb
        assert answer.err.startswith("error: there is no store at genstore.store"), verb
    assert list(tmp_path.iterdir()) == []


def test_init_makes_a_store_with_settings_and_leaves_one_that_is_there(run: Run, tmp_path: Path) -> None:
    assert run("init").code == 0
    settings = tmp_path / "genstore.store" / "genstore.toml"
    settings.write_text('project = "mine"\n')
    assert run("init", "--json").json["records"] == 0
    assert settings.read_text() == 'project = "mine"\n'


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["bogus"], 2, "bogus"),
        (["list", "--limit", "0"], 2, "--limit"),
        (["search"], 2, "genstore search --help"),
        (["list", "--where", "modle:x"], 2, "did you mean 'model'"),
        (["search", " "], 2, "empty"),
        (["search", "x", "--mode", "fast"], 2, "hybrid, dense, lexical"),
        (["search", "x", "--limit", "500"], 2, "raise its depth (--depth) to 500 or more"),
        (["search", "x", "--min-score", "2"], 2, "between 0 and 1"),
        (["show", "zzz"], 3, "not an id"),
        (["log"], 2, "nothing to log"),
        (["log", "--output", "x", "--metadata", "[1]"], 2, "JSON object"),
        (["delete"], 2, "say what to delete"),
        (["delete", "--where", "model:m"], 2, "pass --yes"),
        (["import", "absent.jsonl"], 3, "absent.jsonl"),
        (["export", "x.csv"], 2, "x.csv"),
        (["upgrade"], 2, "upgrades itself"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_error_on_standard_error_and_an_exit_code(
    run: Run, arguments: list[str], code: int, message: str
) -> None:
    run("log", "--output", "x", "--model", "m")
    answer = run(*arguments)
    assert answer.code == code
    assert answer.err.startswith("error: ")
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_a_store_that_is_none_exits_with_the_code_of_stores(run: Run, tmp_path: Path) -> None:
    (tmp_path / "genstore.store").mkdir()
    (tmp_path / "genstore.store" / "genstore.db").write_text("something else entirely, long enough to be looked at")
    answer = run("list")
    assert (answer.code, answer.err.count("\n")) == (4, 1)


def test_verify_exits_with_7_when_something_differs(run: Run, tmp_path: Path) -> None:
    run("log", "--output", "x" * 100_000)
    run("reindex", "--pending")
    for blob in (tmp_path / "genstore.store" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    answer = run("verify", "--json")
    assert (answer.code, answer.json["clean"]) == (7, False)
    assert answer.json["differences"][0]["kind"] == "missing_body"


def test_every_error_has_an_exit_code() -> None:
    def all_of(kind: type[GenstoreError]) -> set[str]:
        return {kind.code}.union(*(all_of(child) for child in kind.__subclasses__()))

    assert all_of(GenstoreError) - {"error"} <= EXIT_CODES.keys()


def test_a_traceback_is_shown_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in process(tmp_path, "list").err
    monkeypatch.setenv("GENSTORE_DEBUG", "1")
    assert "Traceback" in process(tmp_path, "list").err


def test_what_a_model_wrote_cannot_steer_the_terminal_and_markup_stays_text(run: Run, tmp_path: Path) -> None:
    with genstore.open(tmp_path / "genstore.store", auto_index=False) as store:
        record = store.log("", "\x1b[31mred \x9b2J [bold]word[/] \ud83d", tags=["[x]"])
    for answer in (run("show", record.id), run("list"), run("search", "word")):
        assert answer.code == 0
        assert "\x1b" not in answer.out
        assert "\x9b" not in answer.out
        assert "[bold]word[/]" in answer.out
    assert run("show", record.id, "--json").json["output"][0]["text"].endswith("\ud83d")


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(run: Run, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 2_000)
    run("import", "rows.jsonl", "--no-embed")
    for arguments in (["list", "--limit", "2000"], ["list", "--limit", "2000", "--json"], ["export", "-"]):
        with subprocess.Popen(
            [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as command:
            assert command.stdout is not None
            assert command.stderr is not None
            command.stdout.read(10)
            command.stdout.close()
            said = command.stderr.read().decode()
            assert "Traceback" not in said, arguments
            assert "Broken" not in said, arguments
            assert command.wait(30) == 0, arguments


def test_ctrl_c_keeps_what_was_committed_and_the_next_import_goes_on(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", 60_000)
    arguments = [*COMMAND, "import", "rows.jsonl", "--no-embed"]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        wait_for_records(tmp_path / "genstore.store")
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=30)
    assert command.returncode == 130
    assert b"run the same command again to go on" in said
    with genstore.open(tmp_path / "genstore.store", auto_index=False) as store:
        committed = store.count()
    assert 0 < committed < 60_000
    finished = process(tmp_path, "import", "rows.jsonl", "--no-embed", "--limit", "3000", "--json").json
    assert finished["stored"] + finished["skipped"] == 3_000
    assert finished["skipped"] == min(committed, 3_000)


def wait_for_records(folder: Path) -> None:
    """Wait until another process has committed something."""
    for _ in range(300):
        time.sleep(0.05)
        if (folder / "genstore.db-wal").exists():
            with genstore.open(folder, auto_index=False) as store:
                if store.count():
                    return
    raise AssertionError("nothing was committed in 15 s")


def test_help_starts_without_anything_heavy(tmp_path: Path) -> None:
    code = "import sys, genstore.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd())
    heavy = {"torch", "sqlalchemy", "numpy", "qdrant_edge", "qdrant_client", "onnxruntime", "alembic", "httpx"}
    assert not heavy & set(loaded.stdout.split())
    assert "import" in process(tmp_path, "--help").out


def test_reindex_takes_the_embedder_it_is_told_whatever_the_environment_says(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("log", "--prompt", "q", "--output", "a", "--json")
    monkeypatch.setenv("GENSTORE_EMBEDDER", "all-MiniLM-L6-v2-int8")
    refused = run("reindex")
    assert (refused.code, "was embedded with" in refused.err) == (6, True)
    done = run("reindex", "--embedder", "all-MiniLM-L6-v2", "--json")
    assert (done.code, done.json["embedder"]) == (0, "all-MiniLM-L6-v2")


def test_a_hit_whose_prompt_matched_shows_its_output_too(run: Run) -> None:
    run("log", "--prompt", "Which animals swim?", "--output", "Whales.\nAnd dolphins.")
    lines = run("search", "animals swim", "--mode", "lexical").out.splitlines()
    assert [line.strip() for line in lines[1:3]] == ["Which animals swim?", "< Whales. And dolphins."]
    lines = run("search", "dolphins", "--mode", "lexical").out.splitlines()
    assert [line.strip() for line in lines[1:3]] == ["> Which animals swim?", "Whales. And dolphins."]


def test_hits_below_the_least_score_are_left_out(run: Run) -> None:
    for text in ("whales and dolphins", "whales, sharks, tuna, cod and many other things that swim", "tax forms"):
        run("log", "--output", text)
    scores = [hit["score"] for hit in run("search", "whales dolphins", "--json").json["hits"]]
    least = (scores[0] + scores[1]) / 2
    found = run("search", "whales dolphins", "--min-score", str(least), "--json").json["hits"]
    assert [hit["score"] for hit in found] == scores[:1]


def test_import_says_what_it_took_fields_as(run: Run, tmp_path: Path) -> None:
    row = {"instruction": "Split it.", "input": "90 by 3", "output": "30", "model": "m", "lang": "en", "id": 7}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    answer = run("import", "rows.jsonl", "--no-embed")
    taken = "instruction as prompt, output as output, input as the end of the prompt; model; lang, id as metadata"
    assert f"taken as: {taken}" in answer.err
    assert "taken as" not in run("import", "rows.jsonl", "--no-embed", "--prompt", "instruction").err
    run("export", "own.jsonl")
    assert "taken as" not in run("import", "own.jsonl", "--no-embed").err


def test_export_leaves_a_file_alone_unless_told_to_overwrite(run: Run, tmp_path: Path) -> None:
    run("log", "--output", "x")
    (tmp_path / "all.jsonl").write_text("mine")
    refused = run("export", "all.jsonl")
    assert (refused.code, refused.out) == (2, "")
    assert "all.jsonl is there already; name another file" in refused.err
    assert (tmp_path / "all.jsonl").read_text() == "mine"
    assert run("export", "all.jsonl", "--overwrite").code == 0
    assert json.loads((tmp_path / "all.jsonl").read_text())["output"][0]["text"] == "x"
    assert len(run("export", "-").out.splitlines()) == 1


def test_an_export_into_a_pipe_leaves_the_pipe(run: Run, tmp_path: Path) -> None:
    run("log", "--output", "x")
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE) as reader:
        try:
            assert run("export", "pipe", "--format", "jsonl").code == 0
            assert json.loads(reader.communicate()[0])["output"][0]["text"] == "x"
        finally:
            reader.kill()  # it would wait for ever for a writer that never came
    assert (tmp_path / "pipe").is_fifo()


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def test_the_parts_of_a_record_are_written_to_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(PNG)
    image = run("log", "--prompt", "draw a dot", "--image", "dot.png").out.strip()
    text = run("log", "--prompt", "q", "--output", "Whales é").out.strip()
    assert run("show", image, "-o", "out.png").out == f"out.png: image/png, {len(PNG)} bytes\n"
    assert (tmp_path / "out.png").read_bytes() == PNG
    refused = run("show", image, "-o", "out.png")
    assert (refused.code, "is there already" in refused.err) == (2, True)
    assert run("show", image, "-o", "out.png", "--overwrite").code == 0
    assert process(tmp_path, "show", text, "-o", "-").out == "Whales é"
    written = run("show", image, "-o", "parts/", "--json").json["files"]
    assert [(row["file"], row["media_type"]) for row in written] == [
        ("parts/prompt-1.txt", "text/plain"),
        ("parts/output-1.png", "image/png"),
    ]
    assert (tmp_path / "parts" / "output-1.png").read_bytes() == PNG
    assert (tmp_path / "parts" / "prompt-1.txt").read_text() == "draw a dot"


def test_a_file_holds_one_part_and_a_folder_has_to_be_possible(run: Run, tmp_path: Path) -> None:
    with genstore.open(tmp_path / "genstore.store", auto_index=False) as store:
        two = store.log("q", [genstore.Part(data=PNG, media_type="image/png", type="image", role="assistant")] * 2).id
    several = run("show", two, "-o", "one.png")
    assert (several.code, "name a folder" in several.err) == (2, True)
    (tmp_path / "file").write_text("")
    assert run("show", two, "-o", "file/").code == 4
    assert not (tmp_path / "one.png").exists()
