"""What once went wrong, or nearly: duplicates in the background, in crowds, across projects, and cut short."""

from __future__ import annotations

import io
import json
import unicodedata
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import genstore
from genstore import DedupRule, Store
from genstore.entry import build_record
from genstore.errors import InvalidInput, MissingDependency
from genstore.sql.rows import record_rows
from genstore.sql.write import Entry
from tests.conftest import OpenStore
from tests.integration.test_dedup_insert import EDITED, OTHER, STORY
from tests.unit.test_perceptual import encoded, picture

MEANING = DedupRule("semantic", threshold=0.9)
SAID = "The committee approved the new budget on Tuesday evening."
SAID_AGAIN = "On Tuesday evening the committee approved the new budget."


def test_a_background_store_compares_meaning_too(tmp_path: Path) -> None:
    with genstore.open(tmp_path / "my.store", background=True, auto_index=False) as store:
        first = store.log(output=SAID, on_duplicate="skip", dedup=MEANING)
        again = store.log(output=SAID_AGAIN, on_duplicate="skip", dedup=MEANING)
        assert again.result(60) == first.result(60) == first.id


def test_an_import_follows_the_projects_policy(store: Store, tmp_path: Path) -> None:
    original = store.log(output=STORY)
    store.set_policy("skip", "near")
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"output": text}) + "\n" for text in (EDITED, OTHER)))
    report = store.import_(path, mapping={"output": "output"})
    assert (report.stored, report.skipped) == (1, 1)
    store.set_policy("link", "near")
    path.write_text(json.dumps({"output": STORY + " Thanks."}) + "\n")
    assert store.import_(path, mapping={"output": "output"}).stored == 1
    assert store.list().records[0].duplicate_of == original.id


def test_meaning_is_compared_within_a_batch_and_an_import(store: Store, tmp_path: Path) -> None:
    ids = store.log_many([{"output": SAID}, {"output": SAID_AGAIN}], on_duplicate="skip", dedup=MEANING)
    assert ids == [ids[0], ids[0]]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"output": text}) + "\n" for text in (OTHER, OTHER)))
    report = store.import_(path, mapping={"output": "output"}, dedup="semantic")
    assert (report.stored, report.skipped) == (1, 1)


def test_a_semantic_policy_holds_for_the_first_record_of_another_process(open_store: OpenStore) -> None:
    one, other = open_store(auto_index=False), open_store(auto_index=False)
    original = one.log(output=SAID)
    other.set_policy("skip", MEANING)
    assert one.log(output=SAID_AGAIN).id == original.id


def test_a_sound_that_asks_for_too_much_costs_nobody_a_record(store: Store) -> None:
    store.log(output=STORY, dedup="near")
    entries = [
        Entry(record_rows(build_record(None, body, media_type=kind)))
        for body, kind in ((OTHER, None), (sound(rate_hz=2**31 - 1), "audio/wav"), (b"RIFF", "audio/wav"))
    ]
    assert store._writer.write_each(entries) == [None, None, None]
    assert store.count() == 4


def sound(rate_hz: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.arange(400, dtype="<i2").tobytes())
    return buffer.getvalue()


def test_pictures_without_structure_are_compared_by_their_bytes(store: Store) -> None:
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    shapes = [Image.new("RGBA", (64, 64), (0, 0, 0, 0)) for _ in range(2)]
    shapes[0].paste((0, 0, 0, 255), (5, 5, 30, 60))
    shapes[1].paste((0, 0, 0, 255), (40, 20, 60, 30))
    ids = [store.log(output=encoded(image), media_type="image/png").id for image in (*pictures, *shapes, pictures[0])]
    (cluster,) = store.duplicates("near")
    assert {cluster.representative, cluster.duplicates[0].record_id} == {ids[0], ids[4]}
    assert len(cluster) == 2


def test_texts_are_compared_in_a_store_with_pictures_when_the_extra_is_missing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: object, body: bytes) -> int:
        raise MissingDependency('comparing images needs imagehash; pip install "genstore[media]"')

    monkeypatch.setattr("genstore.dedup.perceptual.NearImage.features", missing)
    monkeypatch.setattr("genstore.dedup.perceptual.NearImage.needs", "a_package_that_is_not_there")
    store.log(output=encoded(picture(1)), media_type="image/png")
    original = store.log(output=STORY)
    assert store.log(output=EDITED, dedup="near").duplicate_of == original.id
    assert store.log(output=encoded(picture(1)), media_type="image/png", model="m", dedup="near").duplicate_of
    assert len(store.duplicates("near")) == 2
    monkeypatch.undo()
    store.log(output=encoded(picture(1, side=99)), media_type="image/png")
    assert max(map(len, store.duplicates("near"))) == 3


def test_a_crowd_in_another_project_hides_no_duplicate(open_store: OpenStore) -> None:
    crowd, alone = open_store(auto_index=False, project="a"), open_store(auto_index=False, project="b")
    crowd.log_many({"output": f"{EDITED} variant {number}"} for number in range(90))
    original = alone.log(output=STORY)
    assert alone.log(output=EDITED, dedup="near").duplicate_of == original.id


def test_the_sides_are_compared_each_with_its_own(store: Store) -> None:
    store.log(prompt=STORY)
    assert store.log(output=STORY, dedup=DedupRule("exact", on="both")).duplicate_of is None
    assert store.duplicates(DedupRule("exact", on="both")) == []


def test_near_looks_past_the_form_of_accents_and_keeps_vowel_signs(store: Store) -> None:
    composed = "Tiếng Việt được viết bằng chữ cái và dấu phụ ở trên hay dưới"
    original = store.log(output=composed)
    decomposed = unicodedata.normalize("NFD", composed)
    assert store.log(output=decomposed, dedup="near").duplicate_of == original.id
    store.log(output="वह लड़का स्कूल जाता है और उसकी बहन घर पर रहती है")
    assert store.log(output="वह लड़की स्कूल जाती है और उसका भाई घर पर रहता है", dedup="near").duplicate_of is None


def test_a_record_of_another_project_is_returned_when_it_holds_the_content(store: Store) -> None:
    first = store.log(output=STORY, project="other")
    assert store.log(output=STORY, project="other", on_duplicate="skip").id == first.id


def test_only_the_projects_own_records_are_acted_on(open_store: OpenStore) -> None:
    a, b = open_store(auto_index=False, project="a"), open_store(auto_index=False, project="b")
    a.log_many([{"output": STORY}, {"output": EDITED}])
    clusters = a.duplicates("near")
    assert b.deduplicate(clusters, "delete").records == 0
    assert a.count() == 2


def test_linking_again_after_another_became_the_best_makes_no_circle(store: Store) -> None:
    ids = [store.log(output=text).id for text in (STORY, EDITED)]
    store.deduplicate(store.duplicates("near"), "link")
    store.score(ids[1], "quality", 1.0)
    store.deduplicate(store.duplicates("near"), "link")
    assert [store.get(record_id).duplicate_of for record_id in ids] == [ids[1], None]


def test_a_named_score_can_decide_who_represents(store: Store) -> None:
    ids = [store.log(output=text).id for text in (STORY, EDITED)]
    store.score(ids[0], "latency_ms", 900)
    store.score(ids[1], "quality", 0.9)
    assert store.duplicates("near")[0].representative == ids[0]
    assert store.duplicates("near", prefer="quality")[0].representative == ids[1]


def test_a_threshold_of_nothing_does_not_overrule_the_guard(store: Store) -> None:
    store.log_many([{"output": "Turn the light in the hall on."}, {"output": "Turn the light in the hall off."}])
    store.flush()
    assert store.duplicates("semantic", 0.0) == []


def test_a_redo_that_was_cut_short_hides_nothing(store: Store) -> None:
    original = store.log(output=STORY)
    store.log(output=EDITED, dedup="near")

    def stop(done: int, left: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.redo_sketches(stop)
    assert store.log(output=STORY + " Thanks.", on_duplicate="skip", dedup="near").id == original.id


def test_a_level_that_is_ready_is_not_sketched_again(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(auto_index=False).log(output=STORY, dedup="near")
    later = open_store(auto_index=False)
    scanned: list[object] = []
    monkeypatch.setattr(later._gate.sketches, "sketch_missing", lambda *given, **named: scanned.append(given))
    assert later.log(output=EDITED, dedup="near").duplicate_of
    assert scanned == []


def test_a_leak_does_not_take_its_copies_along(store: Store, tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(60)]
    leak, copy = " ".join(words[:40]), " ".join(words[10:50])
    ids = [store.log(output=text).id for text in (leak, copy)]
    held_out = tmp_path / "test.jsonl"
    held_out.write_text(json.dumps({"output": " ".join(words[:34])}) + "\n")
    assert store.export(tmp_path / "a.jsonl", dedup="near", against=held_out) == 1
    assert json.loads((tmp_path / "a.jsonl").read_text())["id"] == ids[1]


def test_a_held_out_row_without_the_compared_side_is_refused(store: Store, tmp_path: Path) -> None:
    store.log(output=STORY)
    held_out = tmp_path / "test.jsonl"
    held_out.write_text(json.dumps({"prompt": STORY}) + "\n")
    with pytest.raises(InvalidInput, match="line 1 of the held-out file has no output"):
        store.export(tmp_path / "a.jsonl", against=held_out)
    assert store.export(tmp_path / "a.jsonl", against=held_out, against_rule=DedupRule("near", on="prompt")) == 1


@pytest.mark.parametrize("given", [{"level": "near", "ignore_case": True}, {"level": "exact", "threshold": 0.9}])
def test_settings_that_would_do_nothing_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="exact"):
        DedupRule(**given)


def test_a_call_that_a_policy_skips_is_named_in_the_log(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    original = store.log(output=STORY)
    store.set_policy("skip", "near")

    @store.record
    def tell() -> str:
        return EDITED

    with caplog.at_level("INFO", logger="genstore"):
        assert tell() == EDITED
    assert f"record {original.id} holds the same" in caplog.text


def test_verify_finds_missing_sketches_and_stray_keys_and_mends_them(store: Store) -> None:
    original = store.log(output=STORY)
    store.log(output=OTHER, dedup="near")
    assert store.verify().clean
    with store.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM sketches")
    assert {found.kind for found in store.verify().differences} >= {"missing_sketch", "stray_key"}
    assert store.log(output=EDITED, dedup="near").duplicate_of is None
    assert store.verify(repair=True).clean
    assert store.verify().differences == []
    assert store.log(output=STORY + " Thanks.", on_duplicate="skip", dedup="near").id == original.id
