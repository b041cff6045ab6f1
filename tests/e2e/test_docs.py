"""What README shows is run as it stands: its Python, and every `genstore` line of its command block."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

ROWS = (
    ("Split a bill of 90 among three.", "Each pays 30.", "gpt-4o", "maths"),
    ("Name a river.", "The Danube.", "gpt-4o-mini", "facts"),
    ("Write a haiku.", "Old pond, frogs jump in.", "claude-3", "verse"),
)
OUTPUTS = [dict(zip(("instruction", "output", "generator", "dataset"), row, strict=True)) for row in ROWS]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def command_lines() -> list[str]:
    block = next(block for block in blocks("text") if block.startswith("genstore import"))
    return block.strip().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file that README imports and the documents that it adds."""
    made = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "docs", made / "docs")
    with gzip.open(made / "outputs.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in OUTPUTS)
    return made


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = shlex.split(command)[1:]
    environment = {key: value for key, value in os.environ.items() if key != "GENSTORE_STORE"}
    return subprocess.run(
        [sys.executable, "-m", "genstore.cli.main", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_python_of_readme_runs_and_finds_what_it_logs(tmp_path: Path) -> None:
    code = blocks("python")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Open Settings" in done.stdout


def test_every_command_of_readme_runs_in_order(folder: Path) -> None:
    listed = ""
    for line in command_lines():
        if " ID " in line:
            listed = run("genstore list --json --limit 1", folder).stdout
            line = line.replace(" ID ", f" {json.loads(listed)['records'][0]['id']} ")
        done = run(line, folder)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if line.startswith("genstore ask"):
            assert "[1] docs/dedup.md, § Duplicates" in done.stdout
    assert listed, "README no longer shows a command that takes an id"
    assert (folder / "good.jsonl.gz").stat().st_size > 0


def test_every_page_that_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), f"README links to {target}, which is not there"
