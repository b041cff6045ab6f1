"""Lineage: walks relations in SQL, both ways, through circles, and draws what it finds."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from genstore import Store
from genstore.errors import InvalidInput, NotFound
from genstore.exchange.graph import as_graph


@pytest.fixture
def chain(store: Store) -> dict[str, str]:
    """document <- answer <- rewrite <- picture, and another answer to the same document."""
    ids = {name: store.log(output=name, name=name).id for name in ("document", "answer", "rewrite", "picture", "other")}
    for source, role, target in (
        ("answer", "retrieved", "document"),
        ("other", "retrieved", "document"),
        ("rewrite", "derived_from", "answer"),
        ("picture", "input", "rewrite"),
    ):
        store.relate(ids[source], role, ids[target])
    return ids


def names(store: Store, record_id: str, **options: object) -> dict[str, int]:
    found = store.lineage(record_id, **options)  # type: ignore[arg-type]
    return {str(found.records[one].name): distance for one, distance in found.distances.items()}


def test_both_ways_but_not_to_siblings(store: Store, chain: dict[str, str]) -> None:
    assert names(store, chain["answer"]) == {"answer": 0, "document": -1, "rewrite": 1, "picture": 2}
    assert names(store, chain["document"]) == {"document": 0, "answer": 1, "other": 1, "rewrite": 2, "picture": 3}


def test_one_way_so_far_and_by_role(store: Store, chain: dict[str, str]) -> None:
    assert names(store, chain["picture"], direction="up") == {"picture": 0, "rewrite": -1, "answer": -2, "document": -3}
    assert names(store, chain["picture"], direction="down") == {"picture": 0}
    assert names(store, chain["picture"], depth=1) == {"picture": 0, "rewrite": -1}
    assert names(store, chain["picture"], depth=0) == {"picture": 0}
    assert names(store, chain["answer"], roles=["derived_from"]) == {"answer": 0, "rewrite": 1}
    assert names(store, chain["picture"], roles="input") == {"picture": 0, "rewrite": -1}


def test_a_circle_ends(store: Store, chain: dict[str, str]) -> None:
    store.relate(chain["document"], "derived_from", chain["picture"])
    found = store.lineage(chain["document"])
    assert len(found.records) == 5
    assert len(found.relations) == 5


def test_in_a_circle_the_shorter_way_counts(store: Store, chain: dict[str, str]) -> None:
    store.relate(chain["document"], "derived_from", chain["picture"])
    assert names(store, chain["document"]) == {"document": 0, "picture": -1, "rewrite": -2, "answer": 1, "other": 1}


def test_the_shortest_way_counts_and_every_edge_is_there(store: Store, chain: dict[str, str]) -> None:
    store.relate(chain["picture"], "derived_from", chain["document"])
    found = store.lineage(chain["picture"], direction="up")
    assert found.distances[chain["document"]] == -1
    assert len(found.relations) == 4


def test_another_project_is_not_walked_into(store: Store, chain: dict[str, str]) -> None:
    secret = store.log(output="x", project="other")
    with store.database.write() as connection:
        from genstore.records import Relation
        from genstore.sql import annotate

        annotate.relate(connection, Relation(chain["answer"], "input", secret.id))
    assert secret.id not in store.lineage(chain["answer"]).records


def test_what_cannot_be_walked_is_named(store: Store, chain: dict[str, str]) -> None:
    for options, says in (
        ({"roles": ["friend_of"]}, "role is 'friend_of'; it is one of retrieved"),
        ({"depth": -1}, "depth is -1"),
        ({"direction": "sideways"}, "direction is 'sideways'"),
    ):
        with pytest.raises(InvalidInput, match=says):
            store.lineage(chain["answer"], **options)
    with pytest.raises(NotFound):
        store.lineage("00000000")
    with pytest.raises(InvalidInput, match="format is 'png'; it is one of tree, dot, graphml, json, cypher"):
        as_graph(store.lineage(chain["answer"]), "png")


def test_every_format_holds_every_record_and_relation(store: Store, chain: dict[str, str]) -> None:
    store.log(output="odd", name='a "quoted" <&> \\ \' \x01 name', id="00000000-0000-7000-8000-000000000001")
    store.relate("00000000-0000-7000-8000-000000000001", "input", chain["document"])
    found = store.lineage(chain["document"])
    parsed = json.loads(as_graph(found, "json"))
    assert {one["id"] for one in parsed["records"]} == set(found.records)
    assert len(parsed["relations"]) == len(found.relations) == 5
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    tree = ElementTree.fromstring(as_graph(found, "graphml").encode())
    assert {node.get("id") for node in tree.iterfind(".//g:node", space)} == set(found.records)
    assert len(tree.findall(".//g:edge", space)) == 5
    dot = as_graph(found, "dot")
    assert dot.startswith("digraph lineage {")
    assert dot.count(" -> ") == 5
    cypher = as_graph(found, "cypher")
    assert cypher.count("MERGE (r:Record") == 6
    assert "MERGE (a)-[:DERIVED_FROM]->(b);" in cypher
    assert "\\'" in cypher


def test_an_answer_leads_to_its_documents_and_back(store: Store) -> None:
    document = store.add(text="Bowhead whales can live for more than 200 years.", name="whales.md").records[0]
    answer = store.ask("How long can bowhead whales live?")
    assert store.lineage(answer.id).distances == {answer.id: 0, document: -1}
    assert store.lineage(document).distances == {document: 0, answer.id: 1}
