"""What is installed is what is in the tree: the wheel holds every module, the migrations among them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder, tree = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("tree")
    # In a copy: setuptools would put what an earlier build left behind into this one.
    for name in ("genstore", "migrations"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(tree)], check=True, capture_output=True
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def modules_in_tree() -> set[str]:
    own = {str(path.relative_to(ROOT)) for path in (ROOT / "genstore").rglob("*.py")}
    migrations = {
        f"genstore/migrations/{path.relative_to(ROOT / 'migrations')}" for path in (ROOT / "migrations").rglob("*.py")
    }
    return own | migrations


def test_the_wheel_holds_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if name.endswith(".py")}
    assert packed == modules_in_tree()
    assert {"genstore/py.typed", "genstore/rag/template.md"} <= set(wheel.namelist())


def test_the_installed_package_finds_its_migrations() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import genstore.migrations.versions as v; print(list(v.__path__)[0])"],
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert list(Path(found.stdout.strip()).glob("0001_*.py"))


def test_the_wheel_names_the_licence_and_the_command(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"genstore = genstore.cli.main:main" in wheel.read(entry)
