"""Documents, questions and lineage on the command line, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genstore.cli.main import main
from tests.chat_server import serving

QUESTION = "How long can bowhead whales live?"
WHALES = "# Whales\n\nBowhead whales can live for more than 200 years. Their skull breaks thick ice.\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with a folder of documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENSTORE_STORE", raising=False)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "whales.md").write_text(WHALES)
    return tmp_path


class Run:
    """Runs a command in this process; out and err are what it printed, code what it ended with."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        out, self.err = self._capfd.readouterr()
        assert stopped.value.code == code, self.err
        return out


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    return Run(capfd)


def test_add_then_ask_works_with_nothing_configured(run: Run, folder: Path) -> None:
    assert "1 added, 0 replaced, 0 unchanged, 0 failed" in run("add", "docs/")
    said = run("ask", QUESTION)
    assert said.startswith("“Bowhead whales can live for more than 200 years.” [1]")
    assert "[1] docs/whales.md, § Whales" in said
    assert "extractive: sentences quoted from the sources" in said
    answer_id = said.strip().rsplit(" ", 1)[-1]
    shown = run("show", answer_id)
    assert QUESTION in shown
    assert "docs/whales.md, § Whales" in shown
    assert "support 1.00" in shown
    document = json.loads(run("list", "--where", "kind:document", "--json"))["records"][0]["id"]
    assert document in run("lineage", answer_id)
    assert "← retrieved by" in run("lineage", document)


def test_what_is_not_there_is_said(run: Run) -> None:
    run("add", "docs")
    said = run("ask", "Who won the football world cup?")
    assert said.startswith("Not in the store.")
    assert "no passage bears an answer out" in said


def test_ask_as_json_and_show_give_the_same_answer(run: Run) -> None:
    run("add", "docs")
    answer = json.loads(run("ask", QUESTION, "--json"))
    assert json.loads(run("show", answer["id"], "--json"))["answer"] == answer
    assert answer["citations"][0]["location"] == "docs/whales.md, § Whales"
    assert (answer["supported"], answer["extractive"]) == (True, True)
    whole = run("ask", QUESTION, "--no-stream", "--quotes", "1")
    assert whole.startswith("“Bowhead whales can live for more than 200 years.” [1]\n")


def test_add_reports_bad_files_and_goes_on(run: Run, folder: Path) -> None:
    (folder / "docs" / "empty.txt").touch()
    (folder / "docs" / "logo.png").write_bytes(b"\x89PNG\0")
    out = run("add", "docs", code=2)
    assert "1 added, 0 replaced, 0 unchanged, 1 failed, 1 files without text passed over" in out
    assert "docs/empty.txt: it is empty" in run.err
    (folder / "docs" / "whales.md").write_text(WHALES.replace("200", "211"))
    report = json.loads(run("add", "docs/*.md", "--json"))
    assert (report["changed"], report["failed"]) == (1, 0)
    assert "211 years" in run("ask", QUESTION)
    assert "there is no absent.md" in (run("add", "absent.md", code=3) or run.err)


def test_standard_input_is_added_under_its_name(folder: Path) -> None:
    command = [sys.executable, "-m", "genstore.cli.main"]
    environment = {key: value for key, value in os.environ.items() if key != "GENSTORE_STORE"}
    done = subprocess.run(
        [*command, "add", "-", "--name", "notes.md"], input=WHALES, env=environment, cwd=folder,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "1 added, 0 replaced, 0 unchanged, 0 failed")


def test_a_conversation_is_listed_and_shown(run: Run) -> None:
    run("add", "docs")
    run("ask", QUESTION, "--session", "s1")
    run("ask", "And what does their skull break?", "--session", "s1")
    listed = json.loads(run("sessions", "--json"))["sessions"]
    assert [(one["session_id"], one["records"]) for one in listed] == [("s1", 2)]
    assert "s1" in run("sessions")
    shown = run("show", "--session", "s1")
    assert shown.index(f"> {QUESTION}") < shown.index("> And what does their skull break?")
    assert len(json.loads(run("show", "--session", "s1", "--json"))["records"]) == 2
    run("show", "--session", "absent", code=3)
    run("show", code=2)


def test_a_server_is_streamed_and_its_failure_tells_where_the_question_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", "docs")
    with serving(lambda messages: "Bowhead whales can live for over 200 years [1].") as server:
        monkeypatch.setenv("GENSTORE_GENERATOR", server.address)
        assert run("ask", QUESTION).startswith("Bowhead whales can live for over 200 years [1].")
        assert server.requests[0]["stream"] is True
        server.mode = "cut"
        assert run("ask", QUESTION, code=8).startswith("Bowhead whales can live")
    record_id = run.err.split("genstore show ")[1].split()[0]
    assert "cut the stream" in run.err
    assert json.loads(run("show", record_id, "--json"))["status"] == "partial"


def test_lineage_is_exported_for_other_tools(run: Run) -> None:
    run("add", "docs")
    answer = json.loads(run("ask", QUESTION, "--json"))["id"]
    assert run("lineage", answer, "--format", "dot").startswith("digraph")
    assert len(json.loads(run("lineage", answer, "--format", "json", "--depth", "1"))["records"]) == 2
    assert "no relations" in run("lineage", answer, "--role", "input")
    run("lineage", answer, "--format", "png", code=2)
