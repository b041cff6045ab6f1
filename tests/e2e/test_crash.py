"""A process is killed while it logs, tags, deletes and indexes; what it acknowledged is there afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CRASH = Path(__file__).parents[2] / "benchmarks" / "crash.py"


def test_what_was_acknowledged_survives_kill_9_and_the_store_verifies_clean(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, str(CRASH), "--rounds", "3", "--seed", "1", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(" clean\n") == 3
    assert "0 rounds with differences" in run.stdout
