"""Duplicates among what is stored: clusters around their best records, shown, linked, deleted, merged."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from genstore import DedupRule, Store
from genstore.dedup.apply import cost_of
from genstore.errors import InvalidInput
from genstore.records import DuplicateCluster
from genstore.text.shingles import jaccard, shingles
from tests.conftest import OpenStore
from tests.integration.test_dedup_insert import EDITED, OTHER, STORY
from tests.unit.test_perceptual import encoded, picture

WORDS = [f"word{number}" for number in range(400)]


def members(cluster: DuplicateCluster) -> set[str]:
    return {cluster.representative, *(duplicate.record_id for duplicate in cluster.duplicates)}


def text_of(seed: int, words: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def edited(text: str, seed: int, edits: int) -> str:
    words, rng = text.split(), random.Random(seed)
    for _ in range(edits):
        words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words)


def test_clusters_hold_copies_and_say_what_makes_each_one(store: Store) -> None:
    story = [store.log(output=text).id for text in (STORY, EDITED, STORY)]
    store.log(output=OTHER)
    (cluster,) = store.duplicates("near")
    assert cluster.representative == story[0]
    assert [duplicate.record_id for duplicate in cluster.duplicates] == [story[2], story[1]]
    assert cluster.duplicates[0].evidence == {"identical": True}
    assert cluster.duplicates[1].evidence["shared"] > 20
    assert (cluster.level, cluster.on) == ("near", "output")
    assert store.duplicates("exact") == [replace(cluster, duplicates=cluster.duplicates[:1], level="exact")]


def test_the_best_scored_record_represents_then_the_oldest(store: Store) -> None:
    ids = [store.log(output=text).id for text in (STORY, EDITED, STORY + " Thanks.")]
    store.score(ids[1], "quality", 0.2)
    store.score(ids[2], "quality", 0.9)
    (cluster,) = store.duplicates("near")
    assert cluster.representative == ids[2]
    assert {duplicate.record_id for duplicate in cluster.duplicates} == {ids[0], ids[1]}


def test_a_chain_of_likenesses_does_not_make_unlike_texts_duplicates(store: Store) -> None:
    words = [f"step{number}" for number in range(100)]
    chain = [" ".join(words[start : start + 40]) for start in range(0, 60, 10)]
    ids = [store.log(output=text).id for text in chain]
    clusters = store.duplicates("near")
    texts = dict(zip(ids, chain, strict=True))
    assert clusters
    assert len(clusters) > 1
    for cluster in clusters:
        for duplicate in cluster.duplicates:
            assert jaccard(shingles(texts[cluster.representative]), shingles(texts[duplicate.record_id])) >= 0.5


def test_clusters_are_those_that_comparing_all_with_all_finds(store: Store) -> None:
    """Banding misses hardly a pair above the threshold, and never adds one below it."""
    texts: dict[str, str] = {}
    for seed in range(40):
        original = text_of(seed)
        for copy in range(seed % 4):
            text = edited(original, 100 * seed + copy, edits=copy * 2)
            texts[store.log(output=text).id] = text
    expected = _brute_force(texts, 0.5)
    found = store.duplicates("near")
    pairs = {(cluster.representative, duplicate.record_id) for cluster in found for duplicate in cluster.duplicates}
    wanted = {(leader, record_id) for leader, rest in expected.items() for record_id in rest}
    assert pairs <= wanted
    assert len(pairs) >= 0.97 * len(wanted) > 20


def _brute_force(texts: dict[str, str], least: float) -> dict[str, list[str]]:
    """The greedy clusters, by comparing with every representative."""
    leaders: dict[str, list[str]] = {}
    for record_id, text in texts.items():
        scored = [(jaccard(shingles(texts[leader]), shingles(text)), leader) for leader in leaders]
        best = max(scored, key=lambda pair: pair[0], default=(0.0, ""))
        if best[0] >= least:
            leaders[best[1]].append(record_id)
        else:
            leaders[record_id] = []
    return leaders


def test_only_what_satisfies_the_filter_is_compared(store: Store) -> None:
    first = store.log(output=STORY, tags=["a"]).id
    second = store.log(output=EDITED, tags=["a"]).id
    store.log(output=STORY, tags=["b"])
    (cluster,) = store.duplicates("near", where="tag:a")
    assert members(cluster) == {first, second}
    assert store.duplicates("near", where="tag:b") == []


def test_projects_are_never_compared(open_store: OpenStore) -> None:
    for project in ("one", "two"):
        open_store(auto_index=False, project=project).log(output=STORY)
    assert open_store(auto_index=False, project="one").duplicates("near") == []


def test_prompts_can_be_compared_and_both_sides_together(store: Store) -> None:
    first = store.log(prompt=STORY, output="Yes, it was the fox that came to the river at night.").id
    second = store.log(prompt=EDITED, output="No, it was the moon that went up over the hill.").id
    third = store.log(prompt=EDITED, output="Yes, it was the fox that came to the river at night!").id
    (on_prompt,) = store.duplicates("near", on="prompt")
    assert members(on_prompt) == {first, second, third}
    (on_both,) = store.duplicates(DedupRule("near", on="both"))
    assert members(on_both) == {first, third}
    assert [part["score"] for part in on_both.duplicates[0].evidence["parts"]][1] == 1.0


def test_pictures_are_compared_by_how_they_look(store: Store) -> None:
    pictures = (picture(1), picture(1, side=90), picture(2))
    ids = [store.log(output=encoded(image), media_type="image/png").id for image in pictures]
    (cluster,) = store.duplicates("near")
    assert members(cluster) == set(ids[:2])
    assert store.duplicates("exact") == []


def test_meaning_is_compared_once_it_is_embedded(store: Store) -> None:
    texts = (
        "The committee approved the new budget on Tuesday evening.",
        "On Tuesday evening the committee approved the new budget.",
        "The committee rejected the new budget on Tuesday evening.",
        "A recipe for bread without yeast.",
    )
    ids = [store.log(output=text).id for text in texts]
    assert store.duplicates("semantic", 0.9) == []
    store.flush()
    (cluster,) = store.duplicates("semantic", 0.9)
    assert members(cluster) == set(ids[:2])
    assert cluster.duplicates[0].evidence["cosine"] >= 0.9


def test_a_cluster_of_more_copies_than_are_compared_at_once_stays_one(store: Store) -> None:
    base = text_of(1, words=80)
    ids = store.log_many({"output": f"{base} end{number}"} for number in range(150))
    store.score(ids[-1], "quality", 1.0)
    (cluster,) = store.duplicates("near")
    assert cluster.representative == ids[-1]
    assert len(cluster) == 150


def test_sketching_that_was_cut_short_goes_on_and_deleting_takes_sketches_along(store: Store) -> None:
    ids = store.log_many({"output": text_of(seed, words=12)} for seed in range(4_200))

    def stop(done: int, left: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.duplicates("near", progress=stop)
    done = _sketches(store)
    assert 0 < done < 4_200
    assert store.duplicates("near") == []
    assert _sketches(store) == 4_200
    store.delete(ids[0])
    store.delete_where(f"id:{ids[1]}")
    assert _sketches(store) == 4_198
    assert _keys(store) == 4_198 * 32


def _count(store: Store, table: str) -> int:
    with store.database.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def _sketches(store: Store) -> int:
    return _count(store, "sketches")


def _keys(store: Store) -> int:
    return _count(store, "sketch_keys")


# What is done with them


@pytest.fixture
def clustered(store: Store) -> tuple[Store, list[str]]:
    """A store with an original, two near duplicates that cost something, and a record apart."""
    usage = {"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.25}
    ids = [store.log(output=text, usage=usage).id for text in (STORY, EDITED, STORY + " Thanks.")]
    ids.append(store.log(output=OTHER).id)
    return store, ids


def test_linking_relates_duplicates_to_their_representative(clustered: tuple[Store, list[str]]) -> None:
    store, ids = clustered
    clusters = store.duplicates("near")
    assert cost_of(store.database, clusters).tokens == 30
    receipt = store.deduplicate(clusters, "link")
    assert (receipt.records, receipt.clusters, receipt.tokens, receipt.cost_usd) == (2, 1, 30, 0.5)
    assert [store.get(record_id).duplicate_of for record_id in ids] == [None, ids[0], ids[0], None]
    (edge,) = store.relations(ids[1])
    assert edge.attributes["level"] == "near"
    store.deduplicate(clusters, "link")
    assert len(store.relations(ids[1])) == 1


def test_deleting_leaves_the_representative_and_says_what_went(clustered: tuple[Store, list[str]]) -> None:
    store, ids = clustered
    receipt = store.deduplicate(store.duplicates("near"), "delete")
    assert receipt.records == 2
    assert receipt.size_bytes == len(EDITED.encode()) + len((STORY + " Thanks.").encode())
    assert {record.id for record in store.list().records} == {ids[0], ids[3]}
    assert store.duplicates("near") == []
    assert store.verify().clean


def test_merging_keeps_scores_tags_and_relations(clustered: tuple[Store, list[str]]) -> None:
    store, ids = clustered
    store.tag(ids[0], add=["kept"])
    store.tag(ids[1], add=["kept", "moved"])
    store.score(ids[0], "quality", 0.9)
    store.score(ids[1], "quality", 0.4, comment="well")
    store.relate(ids[1], "derived_from", ids[3])
    store.relate(ids[3], "retrieved", ids[2])
    store.relate(ids[2], "edit_of", ids[0])
    receipt = store.deduplicate(store.duplicates("near"), "merge")
    assert (receipt.records, receipt.scores, receipt.tags, receipt.relations) == (2, 1, 1, 2)
    kept = store.get(ids[0])
    assert set(kept.tags) == {"kept", "moved"}
    assert sorted(score.value or 0 for score in kept.scores) == [0.4, 0.9]
    edges = {(edge.source_id, edge.role, edge.target_id) for edge in store.relations(ids[0])}
    assert edges == {(ids[0], "derived_from", ids[3]), (ids[3], "retrieved", ids[0])}
    store.flush_words()
    assert [hit.record.id for hit in store.search("fox", where="tag:moved", mode="lexical")] == [ids[0]]


def test_what_was_deleted_meanwhile_is_passed_over(clustered: tuple[Store, list[str]]) -> None:
    store, ids = clustered
    clusters = store.duplicates("near")
    store.delete(ids[1])
    receipt = store.deduplicate(clusters, "merge")
    assert (receipt.records, receipt.skipped) == (1, 1)
    store.delete(ids[0])
    assert store.deduplicate(clusters, "delete").skipped == 2
    assert store.get(ids[3]).id == ids[3]


def test_acting_that_is_cut_short_leaves_whole_clusters(store: Store) -> None:
    for seed in range(3):
        store.log_many({"output": f"{text_of(seed)} end{copy}"} for copy in range(3))
    clusters = store.duplicates("near")

    def stop(done: int, left: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.deduplicate(clusters, "delete", progress=stop)
    assert store.count() == 7
    assert [len(cluster) for cluster in store.duplicates("near")] == [3, 3]


def test_an_unknown_action_changes_nothing(clustered: tuple[Store, list[str]]) -> None:
    store, _ = clustered
    with pytest.raises(InvalidInput, match="the action is 'burn'; it is one of link, delete, merge"):
        store.deduplicate(store.duplicates("near"), "burn")  # type: ignore[arg-type]
    assert store.count() == 4
