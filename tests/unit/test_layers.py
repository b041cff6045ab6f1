"""Who may import whom: arrows point one way, and what is heavy is imported only when it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import genstore

PACKAGE = Path(genstore.__file__).parent
MIGRATIONS = PACKAGE.parent / "migrations"

# From the ground up; a module may import from its own line (but see APART) and from those before it.
LAYERS = (
    {"errors", "records", "identity", "filters"},
    {"text", "messages", "entry", "config", "work"},
    {"blobs"},
    {"sql", "migrations", "index", "embed", "models"},
    {"search", "dedup", "capture", "exchange"},
    {"rag"},
    {"upkeep"},
    {"store", "background"},
    {"opening"},
    {"server", "ui", "cli"},
)
# Side by side without knowing each other.
APART = (
    {"sql", "index", "embed", "models"},
    {"search", "capture", "exchange"},
    {"search", "dedup", "capture", "exchange"},
    {"rag", "capture", "exchange", "upkeep"},
)
HEAVY = (
    "torch", "transformers", "sentence_transformers", "onnxruntime", "tokenizers", "sqlalchemy", "alembic",
    "qdrant_edge", "qdrant_client", "numpy", "httpx", "semantic_text_splitter", "pyarrow", "onnx", "rensa", "scipy",
    "imagehash", "soundfile", "matplotlib", "openai", "pypdf", "docx", "inscriptis", "lxml",
)  # fmt: skip


def layer_of(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def sources() -> Iterator[tuple[str, Path]]:
    """(the folder or module directly under genstore, file) of every source file but genstore/__init__.py."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if place != Path("__init__.py"):
            yield place.parts[0].removesuffix(".py"), path
    for path in sorted(MIGRATIONS.rglob("*.py")):
        yield "migrations", path


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that runs: in functions too, but not under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from imports(other)
        else:
            yield from imports(node)


def parts_imported(path: Path) -> set[str]:
    """The folders and modules directly under genstore that a file imports."""
    found: set[str] = set()
    for node in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("genstore.")}
    return found - {"__version__", "__file__"}


def test_every_part_has_a_layer() -> None:
    known = set().union(*LAYERS)
    assert {part for part, _ in sources()} <= known


def test_arrows_point_one_way() -> None:
    back = [
        f"{path.relative_to(PACKAGE.parent)} imports genstore.{other}"
        for part, path in sources()
        for other in parts_imported(path)
        if other != part and layer_of(other) > layer_of(part)
    ]
    assert back == []


def test_neighbours_do_not_know_each_other() -> None:
    known = [
        f"{path.relative_to(PACKAGE.parent)} imports genstore.{other}"
        for part, path in sources()
        for other in parts_imported(path) - {part}
        if any({part, other} <= apart for apart in APART)
    ]
    assert known == []


def test_only_the_edge_reads_the_environment() -> None:
    """Settings are read where a store is opened and handed down."""
    readers = {
        part
        for part, path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    # embed: where the platform and other tools say that caches are.
    assert readers <= {"opening", "cli", "server", "ui", "embed"}


def test_only_one_file_imports_each_engine() -> None:
    """Swapping a heavy dependency touches one file, so an error of its own kind cannot leak from elsewhere."""
    allowed = {
        "qdrant_edge": {"bm25.py", "edge.py", "shard.py"},
        "qdrant_client": {"server.py"},
        "onnxruntime": {"onnx.py", "export.py"},
        "sentence_transformers": {"sentence_transformers.py", "rerank.py"},
        "torch": {"export.py", "sentence_transformers.py", "huggingface.py", "rerank.py"},
        "transformers": {"huggingface.py"},
        "openai": {"openai.py"},
        "pypdf": {"pdf.py"},
        "docx": {"docx.py"},
        "inscriptis": {"html.py"},
        "lxml": {"html.py"},
        "markdown_it": {"markdown.py"},
        "alembic": {"upgrade.py", "env.py", *(path.name for path in (MIGRATIONS / "versions").glob("0*.py"))},
        "pyarrow": {"parquet.py"},
        "rensa": {"near.py"},
        "imagehash": {"perceptual.py"},
        "soundfile": {"perceptual.py"},
        "matplotlib": {"curve.py"},
    }
    for part, path in sources():
        for node in imports(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                root = name.split(".")[0]
                assert path.name in allowed.get(root, {path.name}), f"{part}: {path} imports {root}"


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport sys\nprint('\\n'.join({{name.split('.')[0] for name in sys.modules}}))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import genstore; genstore.__version__; dir(genstore)",
        "import genstore; genstore.F, genstore.GenstoreError, genstore.Record, genstore.Part",
        "import genstore.cli.main",
        "from genstore.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass",
        "import genstore.filters, genstore.entry, genstore.messages, genstore.identity, genstore.config",
    ],
    ids=["genstore", "nouns", "command line", "help", "pure modules"],
)
def test_starting_loads_nothing_heavy(code: str) -> None:
    assert loaded_by(code).isdisjoint(HEAVY)


def test_opening_and_logging_load_neither_torch_nor_the_index(tmp_path: Path) -> None:
    code = f"""
import genstore
with genstore.open({str(tmp_path / "s")!r}, auto_index=False) as store:
    store.log(prompt="p", output="o")
    store.list()
"""
    assert loaded_by(code).isdisjoint({"torch", "transformers", "sentence_transformers", "onnxruntime", "qdrant_edge"})


def test_searching_by_words_and_meaning_loads_no_torch(tmp_path: Path) -> None:
    code = f"""
import genstore
with genstore.open({str(tmp_path / "s")!r}, auto_index=False) as store:
    store.log(prompt="p", output="o")
    store.flush()
"""
    loaded_by(code)  # exports the encoder when this machine has none yet
    again = f"import genstore\nwith genstore.open({str(tmp_path / 's')!r}) as store:\n    assert store.search('p')"
    assert loaded_by(again).isdisjoint({"torch", "transformers", "sentence_transformers", "qdrant_client"})


def test_the_public_names_are_there() -> None:
    for name in genstore.__all__:
        assert getattr(genstore, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        genstore.nothing  # noqa: B018
