"""Several processes use one embedded store at once: none is refused, nothing is lost, one at a time has the index."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import genstore

LOG = """
import sys, genstore
with genstore.open(sys.argv[1], lease_timeout_s=60) as store:
    for number in range(60):
        record = store.log(prompt="shared prompt", output=f"{sys.argv[2]} {number} zebra", tags=[sys.argv[2]])
        if number % 10 == 0:
            store.score(record.id, "quality", number / 100)
            store.tag(record.id, add=["tenth"])
        if number % 20 == 5:
            store.delete(record.id)
    store.log_many({"prompt": f"{sys.argv[2]} many {number}"} for number in range(200))
    print(store.count(f"tag:{sys.argv[2]}"))
"""

SEARCH = """
import sys, genstore
with genstore.open(sys.argv[1], auto_index=False, lease_timeout_s=60) as store:
    for _ in range(6):
        hits = store.search("zebra", mode="lexical")
        assert all("zebra" in hit.record.output_text for hit in hits)
    print(len(hits))
"""

LINK = """
import sys, genstore
with genstore.open(sys.argv[1], auto_index=False) as store:
    for number in range(40):
        print(store.log(prompt=f"p{number}", on_duplicate="skip").id)
"""


def run(path: Path, *scripts: str) -> list[str]:
    """What the scripts print, run at the same time; each must end well and silently."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), f"w{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, script in enumerate(scripts)
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [(error, code) for _, error, code in ended] == [("", 0)] * len(scripts)
    return [output for output, _, _ in ended]


def test_processes_log_search_and_change_one_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "my.store"
    printed = run(path, LOG, LOG, LOG, SEARCH)
    assert printed[:3] == ["57\n"] * 3
    with genstore.open(path, auto_index=False) as store:
        assert store.count() == 3 * (57 + 200)
        assert store.count("tag:tenth score.quality>=0") == 3 * 6
        store.flush()
        assert store.verify().differences == []
        assert {store.count(f"tag:w{number}") for number in range(3)} == {57}


def test_processes_that_skip_duplicates_agree_on_who_holds_what(tmp_path: Path) -> None:
    first, second, third = run(tmp_path / "my.store", LINK, LINK, LINK)
    assert first == second == third
    with genstore.open(tmp_path / "my.store", auto_index=False) as store:
        assert store.count() == 40


CLOSE = """
import sys, threading, genstore
for round in range(2):
    store = genstore.open(sys.argv[1], background=round % 2 == 1)
    started = threading.Barrier(7)

    def use(number):
        started.wait()
        try:
            while True:
                store.log(prompt=f"zebra {number}", output="o" * 2_000)
                if number % 2:
                    store.list(limit=20)
        except genstore.GenstoreError as error:
            assert "closed" in str(error), error

    threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    started.wait()
    store.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
"""


def test_closing_a_store_that_threads_use_ends_them_with_an_error_and_nothing_worse(tmp_path: Path) -> None:
    run(tmp_path / "my.store", CLOSE)
    with genstore.open(tmp_path / "my.store", auto_index=False) as store:
        store.flush_words()
        assert store.verify().differences == []
