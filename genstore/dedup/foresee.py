"""The original of a record in meaning, found before the transaction that stores it: the index takes its time."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from genstore.blobs import Bodies
from genstore.dedup.holders import KIND, PROJECT, Holders, unit_of
from genstore.dedup.rule import Rule
from genstore.dedup.semantic import Semantic, SemanticText, Space, bodies_of, encoded, nearest_parts, stored_vector
from genstore.dedup.unit import Comparer, Piece
from genstore.filters import All, Compare
from genstore.identity import decode_text
from genstore.sql.engine import Database
from genstore.sql.read import body_reader
from genstore.sql.rows import RecordRows
from genstore.sql.write import Found


def foresee(database: Database, bodies: Bodies, space: Space, rows: RecordRows, rule: Rule) -> Found | None:
    """The stored record that means the same; what is not embedded yet is not seen."""
    with database.read() as connection:
        return _foreseen(database, connection, bodies, space, rows, rule)


def _foreseen(
    database: Database, connection: Connection, bodies: Bodies, space: Space, rows: RecordRows, rule: Rule
) -> Found | None:
    texts = [decode_text(rows.bodies[piece.sha256]) for piece in unit_of(rows, rule) if not piece.binary]
    own = encoded(space.embedder, texts)
    stored = stored_vector(connection, space)
    read = body_reader(connection, bodies)
    inside = All((Compare("project", "=", rows.record[PROJECT]), Compare("kind", "=", rows.record[KIND])))

    def alike(piece: Piece) -> Sequence[str]:
        if piece.sha256 not in own:
            return [piece.sha256]
        parts = nearest_parts(space, own[piece.sha256].first, inside, rule)
        return list(dict.fromkeys((piece.sha256, *bodies_of(connection, parts).values())))

    method = SemanticText(lambda digest: own[digest].whole if digest in own else stored(digest))
    comparer = Comparer(Semantic(method), lambda digest: rows.bodies.get(digest) or read(digest))
    return Holders(database, connection.connection.cursor(), rows, rule).original(comparer, alike)
