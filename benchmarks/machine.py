"""The machine a figure was measured on, as one line, and the statistics every benchmark prints."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("sqlalchemy", "qdrant-edge-py", "qdrant-client", "onnxruntime", "torch", "numpy")


def describe(*packages: str) -> str:
    """Processor, cores, memory, Python, SQLite, and the versions of packages (the main dependencies by default)."""
    found = [f"{name} {_version(name)}" for name in packages or _PACKAGES]
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()} {platform.release()}\n"
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {', '.join(found)}"
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, 0 < share < 1; nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def folder_bytes(folder: Path) -> int:
    """Bytes the files under a folder take on disk; holes of sparse files do not count."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return 0.0
