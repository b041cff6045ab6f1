"""lineage: what a record came from and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from genstore.cli.session import out

if TYPE_CHECKING:
    from genstore.records import Record, Relation
    from genstore.sql.lineage import Lineage


def register(app: typer.Typer) -> None:
    app.command()(lineage)


def lineage(
    context: typer.Context,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="A record's id, or its beginning.")],
    format: Annotated[str, typer.Option(help="tree, dot (Graphviz), graphml, json or cypher")] = "tree",
    depth: Annotated[int | None, typer.Option(min=0, help="How many relations away; all by default.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="Follow only this role; may be given again.")] = None,
    direction: Annotated[str, typer.Option(help="up (what it came from), down (what came of it), both")] = "both",
) -> None:
    """Show what a record came from and what came of it."""
    from genstore.exchange.graph import as_graph

    with context.obj.open(create=False) as store:
        found = store.lineage(record_id, depth=depth, roles=role, direction=direction)
    if format == "tree":
        _print_tree(found)
    else:
        sys.stdout.write(as_graph(found, format) + "\n")


def _print_tree(found: Lineage) -> None:
    """The root with both directions as branches; a record that was shown already is only named."""
    tree = Tree(_node(found.records[found.root]))
    shown = {found.root}
    for up in (True, False):
        edges: dict[str, list[Relation]] = {}
        for edge in found.relations:
            edges.setdefault(edge.source_id if up else edge.target_id, []).append(edge)
        _grow(tree, found, edges, found.root, up, shown)
    out.print(tree)
    if len(found.records) == 1:
        out.print("[dim]no relations[/]")


def _grow(
    tree: Tree, found: Lineage, edges: Mapping[str, Sequence[Relation]], record_id: str, up: bool, shown: set[str]
) -> None:
    """Hang below a record what is one relation further away. edges: by the record they leave in this direction."""
    for edge in edges.get(record_id, ()):
        there = edge.target_id if up else edge.source_id
        if found.distances[there] >= 0 if up else found.distances[there] <= 0:
            continue
        arrow = f"{edge.role} → " if up else f"← {edge.role} by "
        branch = tree.add(Text.assemble((arrow, "cyan"), _node(found.records[there])))
        if there not in shown:
            shown.add(there)
            _grow(branch, found, edges, there, up, shown)


def _node(record: Record) -> Text:
    from genstore.cli.show import clean, one_line
    from genstore.exchange.graph import label

    return Text.assemble((one_line(clean(label(record)), 60), "bold"), f" {record.kind} ", (record.id, "dim"))
