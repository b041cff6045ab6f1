"""A lineage as other tools draw or load it: Graphviz, GraphML, JSON, Cypher."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from xml.sax.saxutils import escape, quoteattr

from genstore.errors import InvalidInput
from genstore.exchange.form import encoded, moment_text, record_to_json, relation_to_json
from genstore.records import Record
from genstore.sql.lineage import Lineage

_SHORT = 8


def as_graph(lineage: Lineage, format: str) -> str:
    """The lineage in one of FORMATS. Raises InvalidInput for another."""
    if format not in FORMATS:
        raise InvalidInput(f"format is {format!r}; it is one of tree, {', '.join(FORMATS)}")
    return FORMATS[format](lineage)


def label(record: Record) -> str:
    """What a record is called in a drawing."""
    return record.name or record.model or record.kind


def _dot(lineage: Lineage) -> str:
    lines = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box];"]
    for record_id, record in lineage.records.items():
        shape = ', style="bold"' if record_id == lineage.root else ""
        text = json.dumps(f"{label(record)}\n{record.kind} {record_id[-_SHORT:]}", ensure_ascii=False)
        lines.append(f'  "{record_id}" [label={text}{shape}];')
    lines += [f'  "{edge.source_id}" -> "{edge.target_id}" [label="{edge.role}"];' for edge in lineage.relations]
    return "\n".join([*lines, "}"])


def _graphml(lineage: Lineage) -> str:
    keys = [f'  <key id="{name}" for="node" attr.name="{name}" attr.type="string"/>' for name in _NODE]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
        *keys,
        '  <key id="role" for="edge" attr.name="role" attr.type="string"/>',
        '  <graph id="lineage" edgedefault="directed">',
    ]
    for record_id, record in lineage.records.items():
        data = "".join(f'<data key="{name}">{escape(value)}</data>' for name, value in _facts(record).items())
        lines.append(f"    <node id={quoteattr(record_id)}>{data}</node>")
    for edge in lineage.relations:
        ends = f"source={quoteattr(edge.source_id)} target={quoteattr(edge.target_id)}"
        lines.append(f'    <edge {ends}><data key="role">{edge.role}</data></edge>')
    return "\n".join([*lines, "  </graph>", "</graphml>"])


def _json(lineage: Lineage) -> str:
    form = {
        "root": lineage.root,
        "records": [
            {**record_to_json(record), "distance": lineage.distances[record_id]}
            for record_id, record in lineage.records.items()
        ],
        "relations": [{"source_id": edge.source_id, **relation_to_json(edge)} for edge in lineage.relations],
    }
    return encoded(form, indent=2).decode()


def _cypher(lineage: Lineage) -> str:
    """MERGE statements, which load twice without doubling anything."""
    lines = []
    for record_id, record in lineage.records.items():
        facts = ", ".join(f"r.{name} = {_quoted(value)}" for name, value in _facts(record).items())
        lines.append(f"MERGE (r:Record {{id: {_quoted(record_id)}}}) SET {facts};")
    for edge in lineage.relations:
        ends = f"(a:Record {{id: {_quoted(edge.source_id)}}}), (b:Record {{id: {_quoted(edge.target_id)}}})"
        lines.append(f"MATCH {ends} MERGE (a)-[:{edge.role.upper()}]->(b);")
    return "\n".join(lines)


_NODE = ("kind", "label", "created_at")


def _facts(record: Record) -> dict[str, str]:
    # XML has no way to write control characters, and no database needs them in a label.
    text = "".join(character for character in label(record) if character.isprintable())
    return {"kind": record.kind, "label": text, "created_at": moment_text(record.created_at)}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


FORMATS: Mapping[str, Callable[[Lineage], str]] = {
    "dot": _dot,
    "graphml": _graphml,
    "json": _json,
    "cypher": _cypher,
}
