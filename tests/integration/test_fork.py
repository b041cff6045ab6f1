"""A process that forks with a store open: the child is told so, and may open it anew; the parent goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

FORKS = """
import json, os, sys, warnings, genstore
from genstore.errors import GenstoreError
warnings.simplefilter("ignore")
background = sys.argv[2] == "background"
store = genstore.open(sys.argv[1], background=background, auto_index=False)
ids = [store.log(prompt=f"zebra {number}").id for number in range(20)]
store.flush_words()
store.log(prompt="handed over")
child = os.fork()
if not child:
    said = {}
    verbs = {
        "log": lambda: store.log(prompt="x"), "get": lambda: store.get(ids[0]), "list": store.list,
        "search": lambda: store.search("zebra"), "flush": store.flush, "flush_words": store.flush_words,
        "tag": lambda: store.tag(ids[0], add=["t"]), "stats": store.stats,
    }
    for name, verb in verbs.items():
        try:
            said[name] = repr(verb())
        except GenstoreError as error:
            said[name] = str(error)
    store.close()
    with genstore.open(sys.argv[1], auto_index=False) as again:
        again.log(prompt="okapi")
        again.flush_words()
        said["found"] = len(again.search("okapi", mode="lexical"))
    print(json.dumps(said), flush=True)
    os._exit(0)  # as multiprocessing ends its children
assert os.waitpid(child, 0)[1] == 0
store.log(prompt="after the fork")
store.flush_words()
print(store.count(), len(store.verify().differences), flush=True)
store.close()
"""


@pytest.mark.parametrize("kind", ["plain", "background"])
def test_a_forked_child_is_refused_and_may_open_the_store_anew(tmp_path: Path, kind: str) -> None:
    folder = str(tmp_path / "s")
    done = subprocess.run(
        [sys.executable, "-c", FORKS, folder, kind], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    child, parent = done.stdout.splitlines()
    said: dict[str, Any] = json.loads(child)
    assert said.pop("found") == 1
    for verb, words in said.items():
        assert "open the store again in this process" in words or "the store is closed" in words, verb
    assert said["list"].endswith("is a fork; open the store again in this process")
    assert parent == "23 0"


HOLDS = """
import os, sys, time
from pathlib import Path
from genstore.index.lease import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.acquire(time.monotonic())
ready, go = os.pipe(), os.pipe()
child = os.fork()
if not child:
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    os._exit(0)
os.read(ready[0], 1)
taken_before = lock.is_taken()
lock.release()
print(taken_before, lock.is_taken())
os.write(go[1], b"x")
os.waitpid(child, 0)
"""


def test_a_forked_child_does_not_hold_its_parents_locks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLDS, str(tmp_path / "words.lock")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
