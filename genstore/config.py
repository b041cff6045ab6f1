"""Settings: what is passed wins over the environment, that over genstore.toml, that over the default."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from genstore.errors import InvalidInput
from genstore.records import DEFAULT_PROJECT

TOML = "genstore.toml"
PREFIX = "GENSTORE_"


def _setting(default: Any, about: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"about": about, "choices": choices})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; `about` of each is what `genstore init` writes beside it."""

    project: str = _setting(DEFAULT_PROJECT, "the project that records belong to and searches look in")
    embedder: str | None = _setting(None, "a model's name or path, or the URL of an /embeddings endpoint")
    embedder_api_key: str | None = _setting(None, "for an embeddings endpoint; better in GENSTORE_EMBEDDER_API_KEY")
    precision: str = _setting("fp32", "of the default embedder: fp32, or int8 for speed", ("fp32", "int8"))
    cache_dir: str | None = _setting(None, "where the exported embedder is kept; the user's cache folder by default")
    index: str | None = _setting(None, "URL of a Qdrant server, or a folder; index/ beside the database by default")
    index_api_key: str | None = _setting(None, "for a Qdrant server; better in GENSTORE_INDEX_API_KEY")
    index_shards: int = _setting(1, "shards of a collection on a Qdrant cluster")
    index_replicas: int = _setting(1, "copies of each shard")
    index_write_consistency: int = _setting(1, "copies that must confirm a write")
    index_on_disk: bool = _setting(False, "keep a server's vectors on disk")
    index_quantisation: str | None = _setting(None, "of a server's vectors: int8, or none", ("int8",))
    blobs: str | None = _setting(None, "where bodies over 64 KiB live: s3://bucket/prefix, or a folder")
    compress: bool = _setting(False, "keep bodies compressed (zstd)")
    synchronous: str = _setting("normal", "of SQLite: full also survives a power cut", ("normal", "full"))
    auto_index: bool = _setting(True, "index in the background what this process logs")
    queue_size: int = _setting(10_000, "records a background store holds before log waits")
    lease_timeout_s: float = _setting(30.0, "how long to wait for another process to let go of the index")
    idle_s: float = _setting(2.0, "how long an unused index stays open")
    fusion: str = _setting("convex", "how two rankings become one", ("convex", "rrf", "dbsf"))
    dense_weight: float = _setting(0.85, "share of meaning against words in convex fusion, 0 to 1")
    shingle_words: int = _setting(3, "words a shingle, of near duplicates; after a change run `genstore dedup redo`")
    depth: int = _setting(100, "passages taken from each ranking before they are fused")
    generator: str = _setting("extractive", "what writes answers: extractive, http://host/v1#model, or a model's name")
    generator_api_key: str | None = _setting(None, "for a generator's endpoint; better in GENSTORE_GENERATOR_API_KEY")
    generator_timeout_s: float = _setting(60.0, "how long an endpoint may take to answer, and between two pieces")
    generator_attempts: int = _setting(3, "how often an endpoint is asked before its refusal counts")
    generator_input_price: float | None = _setting(None, "USD for a million input tokens, to keep what answers cost")
    generator_output_price: float | None = _setting(None, "USD for a million output tokens")
    context_tokens: int = _setting(8_192, "tokens an endpoint's model reads and writes at once")
    max_output_tokens: int = _setting(1_024, "tokens an answer may have")
    answer_template: str | None = _setting(None, "a file to use instead of the prompt that comes with genstore")
    abstain_below: float | None = _setting(None, "evidence, 0 to 1, below which a question is not answered")
    reranker: str | None = _setting(None, "a cross-encoder's name or path, to rank the passages of answers anew")

    @property
    def embedder_name(self) -> str:
        """The embedder asked for, or the default one."""
        return self.embedder or "all-MiniLM-L6-v2"


_SHARES = ("dense_weight", "abstain_below")
NAMES = tuple(setting.name for setting in fields(Settings))
_DEFAULTS = Settings()


def resolve_settings(
    arguments: Mapping[str, Any], environment: Mapping[str, str], folder: Path | None = None
) -> Settings:
    """Settings from all four sources. Raises InvalidInput naming the source, the setting and its value."""
    if unknown := arguments.keys() - set(NAMES):
        raise InvalidInput(f"unknown setting {sorted(unknown)[0]!r}; settings are {', '.join(NAMES)}")
    values = _from_toml(folder / TOML) if folder is not None else {}
    for name in NAMES:
        if (text := environment.get(PREFIX + name.upper())) is not None:
            values[name] = (text, PREFIX + name.upper())
    values.update({name: (value, "the argument") for name, value in arguments.items() if value is not None})
    return Settings(**{name: _checked(name, value, source) for name, (value, source) in values.items()})


def _from_toml(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    if unknown := table.keys() - set(NAMES):
        raise InvalidInput(f"{path} has the unknown setting {sorted(unknown)[0]!r}; settings are {', '.join(NAMES)}")
    return {name: (value, str(path)) for name, value in table.items()}


_TYPES = get_type_hints(Settings)
_ABOUT = {setting.name: setting.metadata for setting in fields(Settings)}


def _checked(name: str, value: Any, source: str) -> Any:
    """The value in its setting's type; text, as the environment has it, is converted."""
    kinds = get_args(_TYPES[name]) if get_origin(_TYPES[name]) in (Union, types.UnionType) else (_TYPES[name],)
    kind = kinds[0]
    if value == "" and types.NoneType in kinds:  # how a compose file or the template says that nothing is set
        return None
    try:
        if kind is bool:
            converted: Any = _truth(value)
        elif kind is str:
            if not isinstance(value, str | Path):
                raise ValueError("not text")
            converted = str(value)
        elif isinstance(value, bool):
            raise ValueError("not a number")
        else:
            converted = kind(value)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{name} is {value!r} in {source}; it takes a {kind.__name__}") from error
    choices = _ABOUT[name]["choices"]
    if choices and converted not in choices:
        raise InvalidInput(f"{name} is {value!r} in {source}; it is one of {', '.join(choices)}")
    if name in _SHARES and not 0 <= converted <= 1:
        raise InvalidInput(f"{name} is {value!r} in {source}; it lies between 0 and 1")
    if kind in (int, float) and name not in _SHARES and not converted > 0:
        raise InvalidInput(f"{name} is {value!r} in {source}; it is greater than 0")
    return converted


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("neither true nor false")
    return known[value.lower()]


def template() -> str:
    """What `genstore init` writes: every setting with its default, commented out."""
    lines = ["# Settings of this store. Arguments and GENSTORE_* variables win over what stands here.", ""]
    for name in NAMES:
        default = getattr(_DEFAULTS, name)
        shown = '""' if default is None else str(default).lower() if isinstance(default, bool) else _quoted(default)
        lines += [f"# {_ABOUT[name]['about']}", f"# {name} = {shown}", ""]
    return "\n".join(lines)


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
