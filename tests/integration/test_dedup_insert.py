"""Duplicates as records arrive, by what they say: kept, linked with evidence, or skipped, and the caller is told."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import genstore
from genstore import DedupRule, Store
from genstore.errors import InvalidInput, SketchMismatch
from genstore.records import Relation
from tests.conftest import OpenStore
from tests.unit.test_perceptual import encoded, picture

STORY = (
    "Once upon a time a fox lived at the edge of a dark forest. Every night it went to the river to drink, "
    "and every night the moon looked down on it and said nothing at all."
)
EDITED = STORY.replace("dark forest", "drak forest") + " I hope this helps!"
OTHER = "The quarterly report shows that revenue grew while costs stayed where they were a year ago."


def link_of(store: Store, record_id: str) -> Relation:
    (relation,) = (edge for edge in store.relations(record_id) if edge.source_id == record_id)
    assert relation.role == "duplicate_of"
    return relation


def test_a_near_duplicate_is_linked_with_level_score_and_evidence(store: Store) -> None:
    original = store.log(prompt="a story", output=STORY)
    store.log(prompt="a report", output=OTHER)
    copy = store.log(prompt="another story", output=EDITED, on_duplicate="link", dedup="near")
    assert copy.duplicate_of == original.id
    evidence = link_of(store, copy.id).attributes
    assert evidence["level"] == "near"
    assert evidence["on"] == "output"
    assert 0.5 <= evidence["score"] < 1
    total = evidence["shared"] + evidence["only_in_duplicate"] + evidence["only_in_original"]
    assert evidence["score"] == pytest.approx(evidence["shared"] / total, abs=1e-6)


def test_a_skipped_near_duplicate_returns_its_original(store: Store) -> None:
    original = store.log(output=STORY)
    assert store.log(output=EDITED, on_duplicate="skip", dedup="near").id == original.id
    assert store.count() == 1


def test_exact_is_the_same_text_but_for_white_space_and_form(store: Store) -> None:
    original = store.log(output="Caf\u00e9 au lait,\n please")
    spaced = {"output": "  Cafe\u0301 au lait, please "}
    assert store.log(**spaced, model="gpt", on_duplicate="skip", dedup="exact").id == original.id
    shouted = {"output": "CAFÉ AU LAIT, PLEASE"}
    assert store.log(**shouted, on_duplicate="link", dedup="exact").duplicate_of is None
    ignoring = DedupRule("exact", ignore_case=True)
    assert store.log(**shouted, on_duplicate="skip", dedup=ignoring).id == original.id


def test_a_duplicate_in_meaning_is_found_unless_it_says_the_opposite(store: Store) -> None:
    original = store.log(output="You can turn on the heating with the red switch in the hall.")
    same = "With the red switch in the hall you can turn on the heating."
    linked = store.log(output=same, on_duplicate="link", dedup=DedupRule("semantic", threshold=0.9))
    assert linked.duplicate_of == original.id
    assert link_of(store, linked.id).attributes["cosine"] >= 0.9
    opposite = "You can turn off the heating with the red switch in the hall."
    assert store.log(output=opposite, on_duplicate="skip", dedup=DedupRule("semantic", threshold=0.9)).id not in (
        original.id,
        linked.id,
    )


def test_what_is_compared_is_the_output_the_prompt_or_both(store: Store) -> None:
    first = store.log(prompt=STORY, output=OTHER)
    on_prompt = DedupRule("near", on="prompt")
    both = DedupRule("near", on="both")
    assert store.log(prompt=EDITED, output="no", on_duplicate="link", dedup=on_prompt).duplicate_of == first.id
    assert store.log(prompt=EDITED, output="yes", on_duplicate="link", dedup="near").duplicate_of is None
    assert store.log(prompt=EDITED, output="why", on_duplicate="link", dedup=both).duplicate_of is None
    assert store.log(prompt=EDITED, output=OTHER, on_duplicate="link", dedup=both).duplicate_of == first.id


def test_records_of_one_batch_are_compared_with_each_other(store: Store) -> None:
    items = [{"output": text} for text in (STORY, OTHER, EDITED, STORY.upper(), OTHER)]
    for level, distinct in (("near", 2), ("exact", 4)):
        ids = store.log_many(items, on_duplicate="skip", dedup=level)  # type: ignore[arg-type]
        assert ids[0] == ids[3] if level == "near" else ids[0] != ids[3]
        assert len(set(ids)) == distinct
        store.delete_where(f"project:{store.settings.project}")
    ids = store.log_many(items[:2] + items[1:2], on_duplicate="skip", dedup="semantic")
    assert ids == [ids[0], ids[1], ids[1]]


def test_dedup_without_a_policy_links_and_keep_with_a_level_is_refused(store: Store) -> None:
    original = store.log(output=STORY)
    assert store.log(output=EDITED, dedup="near").duplicate_of == original.id
    with pytest.raises(InvalidInput, match="on_duplicate is 'keep', so level 'near' would do nothing"):
        store.log(output=EDITED, on_duplicate="keep", dedup="near")


def test_a_projects_policy_holds_in_every_process_and_a_call_overrides_it(open_store: OpenStore) -> None:
    one, other = open_store(auto_index=False), open_store(auto_index=False)
    original = one.log(output=STORY)
    assert one.log(output=EDITED).duplicate_of is None
    other.set_policy("skip", "near")
    assert one.log(output=STORY + " Thanks.").id == original.id
    assert one.log(output=EDITED, on_duplicate="keep").id != original.id
    assert one.policy() == other.policy()
    elsewhere = open_store(auto_index=False, project="elsewhere")
    assert elsewhere.log(output=STORY).duplicate_of is None
    assert elsewhere.policy().on_duplicate == "keep"
    other.set_policy("keep")
    assert one.log(output=EDITED).duplicate_of is None


def test_projects_and_kinds_are_apart(open_store: OpenStore) -> None:
    open_store(auto_index=False, project="a").log(output=STORY)
    b = open_store(auto_index=False, project="b")
    b.log(output=STORY, kind="document")
    assert b.log(output=STORY, on_duplicate="link", dedup="near").duplicate_of is None


def test_texts_of_nothing_and_of_one_word_have_no_near_duplicates(store: Store) -> None:
    for text in ("", "   ", "Yes", "Yes."):
        for _ in range(2):
            assert store.log(output=text, on_duplicate="link", dedup="near").duplicate_of is None
    for text in ("", "   "):
        assert store.log(output=text, on_duplicate="link", dedup="exact").duplicate_of is None
    assert store.log(output="Yes", on_duplicate="link", dedup="exact").duplicate_of is not None


def test_ten_megabytes_and_a_word_over_and_over_are_compared_like_any_text(store: Store) -> None:
    long = " ".join(f"word{number}" for number in range(1_000_000))
    first = store.log(output=long)
    assert store.log(output=long + " end", on_duplicate="skip", dedup="near").id == first.id
    again = store.log(output="la " * 5_000)
    assert store.log(output="la " * 5_001, on_duplicate="link", dedup="near").duplicate_of is None
    assert store.log(output="LA " * 5_000, on_duplicate="link", dedup="near").duplicate_of == again.id


def test_a_resized_picture_is_a_near_duplicate_and_bytes_are_exact_ones(store: Store) -> None:
    def log(image: Image.Image, **options: Any) -> genstore.Record:
        return store.log(prompt="a cat", output=encoded(image), media_type="image/png", **options)

    original = log(picture(1))
    log(picture(2))
    smaller = log(picture(1, side=100), on_duplicate="link", dedup="near")
    assert smaller.duplicate_of == original.id
    assert link_of(store, smaller.id).attributes["differing_bits"] <= 10
    assert log(picture(1, side=101), on_duplicate="link", dedup="exact").duplicate_of is None
    assert log(picture(1), model="x", on_duplicate="skip", dedup="exact").id == original.id


def test_only_what_is_new_in_a_turn_is_compared(store: Store) -> None:
    turn: list[dict[str, str]] = [{"role": "user", "content": STORY}]
    first = store.log(prompt=turn, output=OTHER)
    longer = [*turn, {"role": "assistant", "content": OTHER}, {"role": "user", "content": "And then what came of it?"}]
    on_prompt = DedupRule("near", on="prompt")
    assert store.log(prompt=longer, output="Nothing.", on_duplicate="link", dedup=on_prompt).duplicate_of is None
    assert store.log(prompt=turn, output="Else.", on_duplicate="link", dedup=on_prompt).duplicate_of == first.id


def test_two_writers_at_once_store_one_of_two_near_duplicates(open_store: OpenStore) -> None:
    stores = [open_store(auto_index=False) for _ in range(2)]
    stores[0].log(output=OTHER, on_duplicate="skip", dedup="near")
    ids: list[str] = []

    def log(store: Store, text: str) -> None:
        ids.append(store.log(output=text, on_duplicate="skip", dedup="near").id)

    threads = [threading.Thread(target=log, args=pair) for pair in zip(stores, (STORY, EDITED), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 1
    assert stores[0].count() == 2


def test_a_background_store_compares_too(tmp_path: Path) -> None:
    with genstore.open(tmp_path / "my.store", background=True, auto_index=False) as store:
        first = store.log(output=STORY)
        again = store.log(output=EDITED, on_duplicate="skip", dedup="near")
        assert again.result() == first.result() == first.id
        with pytest.raises(InvalidInput, match="the level is 'fuzzy'"):
            store.log(output=EDITED, on_duplicate="skip", dedup="fuzzy")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"level": "fuzzy"}, "the level is 'fuzzy'; it is one of exact, near, semantic"),
        ({"on": "title"}, "on is 'title'; it is one of prompt, output, both"),
        ({"threshold": 1.5}, "the threshold is 1.5; it lies between 0 and 1"),
        ({"threshold": -0.1}, "the threshold is -0.1"),
        ({"threshold": float("nan")}, "the threshold is nan"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        DedupRule(**given)


def test_other_shingles_on_a_store_that_has_some_are_refused_until_redone(open_store: OpenStore) -> None:
    before = open_store(auto_index=False)
    original = before.log(output=STORY)
    assert before.log(output=EDITED, dedup="near").duplicate_of == original.id
    store = open_store(auto_index=False, shingle_words=2)
    with pytest.raises(SketchMismatch, match=r"near-text/3-words.*near-text/2-words.*run `genstore dedup redo`"):
        store.log(output=EDITED, dedup="near")
    with pytest.raises(SketchMismatch, match="dedup redo"):
        store.duplicates("near")
    assert store.count() == 2
    assert store.redo_sketches() > 0
    assert store.log(output=EDITED, dedup="near").duplicate_of in (original.id, store.list().records[-2].id)
    with pytest.raises(SketchMismatch, match="near-text/2-words"):
        before.log(output=OTHER)
