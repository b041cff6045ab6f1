"""Every command in the pages about the command line is run, in the order they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import genstore
from genstore.cli.main import main

DOCS = Path(__file__).resolve().parents[2] / "docs"

ROWS = [
    {"instruction": "Name a river.", "output": "The Danube.", "generator": "m1", "dataset": "facts"},
    {"instruction": "Write a haiku.", "output": "Old pond, frogs jump in.", "generator": "m2", "dataset": "verse"},
]

GUIDE = "# Guide\n\n## Install\n\nRun pip install genstore to install it. Python 3.11 or newer is needed.\n"


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("page", ["cli.md", "dedup.md", "import-export.md", "rag.md"])
def test_every_command_of_the_page_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENSTORE_STORE", raising=False)
    (tmp_path / "outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(GUIDE)
    lines = commands(page)
    assert len(lines) >= 5
    for line in lines:
        if " ID" in line:
            line = line.replace(" ID", f" {newest_answer(tmp_path)}")
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(line)[1:])
        assert stopped.value.code == 0, f"{line}\n{capfd.readouterr().err}"


def test_the_python_and_the_template_of_the_page_about_answers_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(GUIDE)
    page = (DOCS / "rag.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    template = next(block for block in re.findall(r"```text\n(.*?)```", page, re.S) if block.startswith("==="))
    (tmp_path / "template.md").write_text(template)
    with genstore.open(tmp_path / "s", auto_index=False, answer_template="template.md") as store:
        exec(code, {"store": store})
        assert store.list("operation:ask").records[0].params["template"].startswith("template.md@")
    printed = capfd.readouterr().out
    assert "“Run pip install genstore to install it.” [1]" in printed
    assert "1 docs/guide.md, § Guide › Install Run pip install genstore to install it. 1.0" in printed


def newest_answer(folder: Path) -> str:
    """What a page that says ID means by it."""
    with genstore.open(folder / "genstore.store", auto_index=False) as store:
        record_id: str = store.list("operation:ask", limit=1).records[0].id
    return record_id


def test_every_verb_is_described() -> None:
    from genstore.cli.main import app

    described = (DOCS / "cli.md").read_text(encoding="utf-8")
    names = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    assert len(names) == 20
    names += [group.name or "" for group in app.registered_groups]
    assert [name for name in names if f"`{name}" not in described] == []
