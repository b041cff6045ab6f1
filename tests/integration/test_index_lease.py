"""The embedded index among several processes, and when its files are damaged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from genstore.errors import IndexBusy, IndexCorrupt, IndexUnavailable
from genstore.index.edge import EdgeIndex
from genstore.index.lease import Lease
from genstore.index.points import Point, point_id

DIMENSION = 8
OWNER_CODE = """
import sys, time
from pathlib import Path
from genstore.index.edge import EdgeIndex
from genstore.index.points import Point
index = EdgeIndex(Path(sys.argv[1]), 8, idle_s=60)
"""
HOLD = "with index._lease.use():\n    print('ready', flush=True)\n    time.sleep(60)"
IDLE = "index.count()\nprint('ready', flush=True)\ntime.sleep(60)"
WRITE = """
number = 0
while True:
    index.upsert([Point(number, f"r{number}", ([1], [1.0]), [1.0] * 8)])
    print(number, flush=True)
    number += 1
"""

StartOwner = Callable[[str], "subprocess.Popen[str]"]


def points(numbers: range) -> list[Point]:
    return [Point(point_id(n, 0), f"r{n}", ([n % 5], [1.0]), np.ones(DIMENSION) + n, {"model": ["m"]}) for n in numbers]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def start_owner(folder: Path) -> Iterator[StartOwner]:
    """Starts a process that opens the folder's index and runs some code."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER_CODE + code, str(folder)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_busy_index_names_its_owner(folder: Path, start_owner: StartOwner) -> None:
    owner = start_owner(HOLD)
    wait_for_line(owner)
    index = EdgeIndex(folder, DIMENSION, lease_timeout_s=0.3)
    with pytest.raises(IndexBusy, match=rf"process {owner.pid}; waited 0.3 s"):
        index.count()
    index.close()


def test_an_idle_owner_lets_go_at_once(folder: Path, start_owner: StartOwner) -> None:
    owner = start_owner(IDLE)
    wait_for_line(owner)
    index = EdgeIndex(folder, DIMENSION)
    started = time.monotonic()
    assert index.count() == 0
    assert time.monotonic() - started < 5  # its own 60 s are not waited for; closing and loading sync the disk
    assert owner.poll() is None
    index.close()


def test_a_killed_owner_leaves_the_index_to_others_with_all_it_acknowledged(
    folder: Path, start_owner: StartOwner
) -> None:
    owner = start_owner(WRITE)
    acknowledged = [int(wait_for_line(owner)) for _ in range(50)]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    index = EdgeIndex(folder, DIMENSION, lease_timeout_s=5)
    assert {id for id, _, _ in index.scan()} >= set(acknowledged)
    index.close()


def test_two_busy_processes_take_turns(folder: Path, start_owner: StartOwner) -> None:
    other = start_owner(WRITE)
    wait_for_line(other)
    index = EdgeIndex(folder, DIMENSION)
    for turn in range(3):
        index.upsert(points(range(10_000 * (turn + 1), 10_000 * (turn + 1) + 5)))
        wait_for_line(other)
    other.send_signal(signal.SIGKILL)
    other.wait()
    mine = [id for id, _, _ in index.scan() if id >= point_id(10_000, 0)]
    assert len(mine) == 15
    index.close()


def test_a_long_operation_lets_others_of_its_process_in_though_another_process_waits(
    folder: Path, start_owner: StartOwner
) -> None:
    index = EdgeIndex(folder, DIMENSION, idle_s=60)
    index.upsert(points(range(3)))
    with index._lease.use(long=True):
        other = start_owner(IDLE)
        while not index._lease._waiting.is_taken():
            time.sleep(0.01)
        time.sleep(0.3)  # longer than a turn
        assert index.count() == 3
    wait_for_line(other)
    index.close()


def test_an_unused_index_is_let_go(folder: Path) -> None:
    first = EdgeIndex(folder, DIMENSION, idle_s=0.05)
    first.upsert(points(range(3)))
    second = EdgeIndex(folder, DIMENSION, lease_timeout_s=5)
    time.sleep(0.1)
    assert second.count() == 3
    assert first.count() == 3  # and comes back when it is used again
    first.close()
    second.close()


def test_many_threads_use_one_index(folder: Path) -> None:
    index = EdgeIndex(folder, DIMENSION, idle_s=0.01)
    index.upsert(points(range(100)))
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                index.upsert(points(range(1_000 * number + step, 1_000 * number + step + 1)))
                assert len(index.candidates(np.ones(DIMENSION), ([1], [1.0]), None, 5)) >= 5
                index.set_payload(f"r{1_000 * number + step}", {"model": ["other"]})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert index.count() == 180
    index.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_waits_for_its_parent_like_any_other_process(folder: Path) -> None:
    code = """
import os
index.upsert([Point(1, "r1", ([1], [1.0]))])
child = os.fork()
count = index.count()
if child == 0:
    index.close()
    os._exit(count)
index.close()
print(count, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", OWNER_CODE + code, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.stdout.split() == ["1", "1"], ran.stderr


@pytest.mark.parametrize("size", [0, 10])
@pytest.mark.parametrize("pattern", ["edge_config.json", "segments/*/segment.json", "segments/*/version.info", "wal/*"])
def test_a_truncated_file_is_named_as_damage(folder: Path, pattern: str, size: int) -> None:
    index = EdgeIndex(folder, DIMENSION)
    index.upsert(points(range(20)))
    index.close()
    for file in (folder / "shard").glob(pattern):
        os.truncate(file, size)
    damaged = EdgeIndex(folder, DIMENSION)
    with pytest.raises(IndexCorrupt, match="run `genstore reindex`"):
        damaged.count()
    damaged.drop()
    fresh = EdgeIndex(folder, DIMENSION)
    assert fresh.count() == 0
    fresh.close()


def test_missing_segments_are_damage_and_not_an_empty_index(folder: Path) -> None:
    index = EdgeIndex(folder, DIMENSION)
    index.upsert(points(range(20)))
    index.close()
    shutil.rmtree(folder / "shard" / "segments")
    damaged = EdgeIndex(folder, DIMENSION)
    with pytest.raises(IndexCorrupt, match="lost its segments"):
        damaged.candidates(np.ones(DIMENSION), None, None, 5)
    damaged.close()


def test_an_index_in_use_elsewhere_is_not_dropped(folder: Path, start_owner: StartOwner) -> None:
    owner = start_owner(HOLD)
    wait_for_line(owner)
    index = EdgeIndex(folder, DIMENSION, lease_timeout_s=0.2)
    with pytest.raises(IndexBusy, match=str(owner.pid)):
        index.drop()
    assert (folder / "shard").exists()


def test_an_index_is_dropped_while_another_keeps_asking_for_it(tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        index = EdgeIndex(folder, DIMENSION)
        index.count()
        other = Lease(folder, partial(made_folder, folder / "shard"), lambda resource: None, 5.0, 0.0)
        with asking(other) as failures:
            index.drop()
        other.close()
        assert failures == []


def made_folder(path: Path) -> Path:
    """A stand-in for a shard that is made as fast as a folder is."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(20):
        (path / str(number)).touch()
    return path


@contextmanager
def asking(lease: Lease[Path]) -> Iterator[list[BaseException]]:
    """Has a thread use the lease again and again until the block ends; what that raised."""
    failures: list[BaseException] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                with lease.use():
                    pass
            except BaseException as error:
                failures.append(error)
                return

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield failures
    finally:
        over.set()
        asker.join()


def test_many_deletions_make_optimising_worth_it(folder: Path) -> None:
    index = EdgeIndex(folder, DIMENSION)
    index.upsert(points(range(3_000)))
    assert not index.wants_optimising()
    index.delete_points([point_id(number, 0) for number in range(1_200)])
    assert index.wants_optimising()
    index.optimise()
    assert not index.wants_optimising()
    assert index.count() == 1_800
    index.close()


def test_searches_and_python_go_on_while_the_index_is_optimised(folder: Path) -> None:
    index = EdgeIndex(folder, DIMENSION, idle_s=60)
    index.upsert(points(range(11_000)))
    optimising = threading.Thread(target=index.optimise)
    optimising.start()
    longest_s, searches = 0.0, 0
    while optimising.is_alive():
        started = time.monotonic()
        assert len(index.candidates(np.ones(DIMENSION), ([1], [1.0]), None, 5)) >= 5
        longest_s = max(longest_s, time.monotonic() - started)
        searches += 1
        time.sleep(0.01)
    optimising.join()
    assert searches > 10
    assert longest_s < 5
    assert not index.wants_optimising()
    assert index.count() == 11_000
    index.close()


def test_a_write_during_optimising_is_kept(folder: Path) -> None:
    index = EdgeIndex(folder, DIMENSION)
    index.upsert(points(range(3_000)))
    optimising = threading.Thread(target=index.optimise)
    optimising.start()
    index.upsert(points(range(3_000, 3_010)))
    index.delete_records(["r0"])
    optimising.join()
    index.close()
    reopened = EdgeIndex(folder, DIMENSION)
    assert reopened.count() == 3_009
    reopened.close()


def test_a_kill_while_the_optimised_copy_takes_its_place_loses_nothing(folder: Path) -> None:
    index = EdgeIndex(folder, DIMENSION)
    index.upsert(points(range(20)))
    index.close()
    (folder / "shard").rename(folder / "shard.old")
    (folder / "optimising-left").mkdir()
    reopened = EdgeIndex(folder, DIMENSION)
    assert reopened.count() == 20
    assert [path.name for path in folder.iterdir() if path.name.startswith("optimising-")] == []
    reopened.close()


def test_what_needs_optimising_is_remembered_between_processes(folder: Path) -> None:
    for start in (0, 10_000):
        index = EdgeIndex(folder, DIMENSION)
        index.upsert(points(range(start, start + 10_000)))
        wanted = index.wants_optimising()
        index.close()
    assert wanted


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    index = EdgeIndex(tmp_path / "file" / "index", DIMENSION)
    with pytest.raises(IndexUnavailable, match="cannot lock the index"):
        index.count()
    index.close()


def test_an_unreachable_server_is_named() -> None:
    from genstore.index.server import ServerIndex

    index = ServerIndex("http://127.0.0.1:9", "c", DIMENSION, timeout_s=2)
    with pytest.raises(IndexUnavailable, match=r"http://127\.0\.0\.1:9"):
        index.count()
    index.close()
