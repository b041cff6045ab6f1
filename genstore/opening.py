"""Open a store by what names it: a directory, or the URL of a PostgreSQL database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from genstore.blobs import Blobs, Bodies, DirectoryBlobs, RemoteBlobs
from genstore.config import Settings, resolve_settings
from genstore.errors import InvalidInput, NotAStore, NotFound, StorageFull
from genstore.sql.engine import Database, sqlite_url
from genstore.sql.upgrade import check_file, prepare
from genstore.store import Store

if TYPE_CHECKING:
    from genstore.background import BackgroundStore

Target: TypeAlias = "str | os.PathLike[str] | None"

DATABASE = "genstore.db"
BLOBS = "blobs"
DEFAULT_STORE = "genstore.store"


@overload
def open_store(
    target: Target = None, *, background: Literal[False] = False, create: bool = True, **settings: Any
) -> Store: ...
@overload
def open_store(
    target: Target = None, *, background: Literal[True], create: bool = True, **settings: Any
) -> BackgroundStore: ...
def open_store(target: Target = None, *, background: bool = False, create: bool = True, **settings: Any) -> Store:
    """Open a store, made when it is missing (unless create=False).

    target: a directory, or postgresql+psycopg://… with index= (and blobs=); None is GENSTORE_STORE, else
    ./genstore.store. background: hand records to a queue instead of waiting for the commit. settings: see
    genstore.config.Settings; what is not given comes from GENSTORE_* variables, then from the store's genstore.toml.
    """
    name = str(target if target is not None else os.environ.get("GENSTORE_STORE") or DEFAULT_STORE)
    if name.startswith(("http://", "https://")):
        raise InvalidInput(f"{name}: this version opens directories and PostgreSQL databases, not servers")
    if "://" in name:
        return _open_url(name, background, settings)
    return _open_directory(Path(name), background, create, settings)


def _open_directory(folder: Path, background: bool, create: bool, arguments: dict[str, Any]) -> Store:
    if folder.exists() and not folder.is_dir():
        raise NotAStore(f"{folder} is a file; a store is a directory, choose another name")
    if not create and not (folder / DATABASE).exists():
        raise NotFound(f"there is no store at {folder}; `genstore init` makes one, and so does a first `genstore log`")
    settings = resolve_settings(arguments, os.environ, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFull(f"cannot make {folder}: {error.strerror}; choose another place for the store") from error
    check_file(folder / DATABASE)
    blobs = _blobs(settings, folder)
    database = Database(sqlite_url(folder / DATABASE), settings.synchronous)
    return _opened(settings, database, blobs, folder, background)


def _open_url(url: str, background: bool, arguments: dict[str, Any]) -> Store:
    settings = resolve_settings(arguments, os.environ)
    if settings.index is None:
        raise InvalidInput(f"{url.split('@')[-1]} needs index=: the URL of a Qdrant server, or a folder")
    return _opened(settings, Database(url), _blobs(settings, None), None, background)


def _opened(
    settings: Settings, database: Database, blobs: Blobs | None, folder: Path | None, background: bool
) -> Store:
    try:
        prepare(database, upgrade=database.is_sqlite)
        bodies = Bodies(blobs, compress=settings.compress)
        if background:
            from genstore.background import BackgroundStore

            return BackgroundStore(settings, database, bodies, folder)
        return Store(settings, database, bodies, folder)
    except BaseException:
        database.close()
        raise


def _blobs(settings: Settings, folder: Path | None) -> Blobs | None:
    if settings.blobs is not None and "://" in settings.blobs:
        return RemoteBlobs(settings.blobs)
    if settings.blobs is not None:
        return DirectoryBlobs(Path(settings.blobs), sync=settings.synchronous == "full")
    return DirectoryBlobs(folder / BLOBS, sync=settings.synchronous == "full") if folder is not None else None
