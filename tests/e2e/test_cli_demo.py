"""The demo does the main job on text that every Python carries, and can be run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from genstore.cli import demo
from genstore.cli.main import main


def test_the_demo_logs_searches_and_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # The shortest topics only: embedding all takes half a minute.
    monkeypatch.setattr(demo, "_LONGEST", 1_500)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENSTORE_STORE", str(tmp_path / "real.store"))
    for _ in range(2):
        with pytest.raises(SystemExit) as stopped:
            main(["demo"])
        assert stopped.value.code == 0
        said = capfd.readouterr().out
        assert "by words alone" in said
        assert "by meaning alone" in said
        assert "help('" in said
    assert "logged already" in said
    assert [path.name for path in tmp_path.iterdir()] == ["genstore-demo.store"]
