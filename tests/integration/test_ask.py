"""ask with nothing configured: quotes from the store, cited down to the character, or nothing at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import genstore
from genstore import Store
from genstore.errors import InvalidInput
from genstore.exchange.import_ import ImportReport
from genstore.records import Answer
from genstore.sql import tables
from tests.conftest import OpenStore

WHALES = """# Whales

Whales are mammals. They breathe air.

## Age

Bowhead whales can live for more than 200 years. Scientists found harpoon points of 1890 in one.

## Food

Blue whales eat krill. Sperm whales eat squid.
"""
EAGLES = "Golden eagles build their nests on cliffs. A pair defends a territory of 155 square kilometres."
QUESTION = "How long can bowhead whales live?"


@pytest.fixture
def filled(store: Store) -> Store:
    store.add(text=WHALES, name="whales.md")
    store.add(text=EAGLES, name="eagles.txt")
    return store


def test_an_answer_quotes_and_cites_what_bears_it_out(filled: Store) -> None:
    answer = filled.ask(QUESTION)
    assert answer.text.startswith("“Bowhead whales can live for more than 200 years.” [1]")
    assert answer.extractive
    assert answer.supported
    assert not answer.abstained
    citation = answer.citations[0]
    assert (citation.quote, citation.support) == ("Bowhead whales can live for more than 200 years.", 1.0)
    assert str(citation.location) == "whales.md, § Whales › Age"
    cited = filled.get(citation.record_id)
    assert cited.output[0].id == citation.part_id
    assert cited.output_text[citation.start : citation.end] == citation.quote
    sentence = answer.text[slice(*citation.sentence)]
    assert citation.quote in sentence


def test_the_answer_is_a_record_and_reads_back_the_same_from_another_process(
    filled: Store, open_store: OpenStore
) -> None:
    answer = filled.ask(QUESTION, user_id="u", tags=["t"], metadata={"mine": 1})
    reopened = open_store(auto_index=False)
    assert reopened.answer(answer.id) == answer
    record = reopened.get(answer.id)
    assert (record.kind, record.operation, record.model, record.status) == ("generation", "ask", "extractive", "ok")
    assert (record.prompt_text, record.output_text, record.user_id) == (QUESTION, answer.text, "u")
    assert (record.tags, record.metadata["mine"]) == (("t",), 1)
    assert reopened.count("metadata.answer.abstained:false metadata.answer.supported:true") == 1


def test_what_was_retrieved_is_related_down_to_the_passage(filled: Store) -> None:
    answer = filled.ask(QUESTION, passages=1)
    (edge,) = filled.relations(answer.id)
    assert (edge.role, edge.target_id) == ("retrieved", answer.citations[0].record_id)
    (passage,) = edge.attributes["passages"]
    assert (passage["number"], passage["side"], passage["position"]) == (1, "output", 0)
    assert passage["start"] <= answer.citations[0].start < answer.citations[0].end <= passage["end"]


def test_streamed_and_not_are_the_same(filled: Store) -> None:
    pieces: list[str] = []
    streamed, whole = filled.ask(QUESTION, stream=pieces.append), filled.ask(QUESTION)
    assert "".join(pieces) == streamed.text
    assert len(pieces) > 1
    one, other = (essence(answer) for answer in (streamed, whole))
    assert one == other


def essence(answer: Answer) -> tuple[object, ...]:
    """Everything of an answer but its id."""
    return tuple(getattr(answer, name) for name in Answer.__dataclass_fields__ if name != "id")


@pytest.mark.parametrize("question", ["Who won the football world cup in 1990?", "What does a quantum computer cost?"])
def test_what_is_not_in_the_store_is_not_answered(filled: Store, question: str) -> None:
    pieces: list[str] = []
    answer = filled.ask(question, stream=pieces.append)
    assert answer.text == "".join(pieces) == "Not in the store."
    assert (answer.abstained, answer.supported, answer.citations) == (True, False, ())
    assert filled.relations(answer.id) == []
    assert filled.answer(answer.id) == answer
    assert not filled.ask(question, abstain_below=0.0).abstained


def test_an_empty_store_answers_nothing(store: Store) -> None:
    answer = store.ask(QUESTION)
    assert (answer.abstained, answer.evidence) == (True, 0.0)
    assert list(store.search(QUESTION)) == []
    assert [record.id for record in store.list("metadata.answer.abstained:true")] == [answer.id]
    assert store.verify().clean


def test_the_filter_says_what_may_be_answered_from(filled: Store) -> None:
    assert filled.ask(QUESTION, "name:eagles.txt").abstained
    assert not filled.ask(QUESTION, where="name:whales.md").abstained


def test_an_older_version_is_not_answered_from(filled: Store) -> None:
    filled.add(text=WHALES.replace("200 years", "211 years"), name="whales.md")
    assert "211 years" in filled.ask(QUESTION).text
    assert "200 years" not in filled.ask(QUESTION).text


def test_an_older_version_is_not_answered_from_while_another_process_owns_the_index(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.flush()
    filled.add(text=WHALES.replace("200 years", "211 years"), name="whales.md")
    monkeypatch.setattr(Store, "_catch_up_briefly", lambda *_, **__: None)  # as when the index is busy
    answer = filled.ask(QUESTION, abstain_below=0.0)
    assert all("whales.md" not in str(one.location) for one in answer.citations)


def test_deleting_a_document_takes_its_citations_and_leaves_the_answer(filled: Store) -> None:
    answer = filled.ask(QUESTION)
    filled.delete(answer.citations[0].record_id)
    left = filled.answer(answer.id)
    assert (left.text, left.citations) == (answer.text, ())
    filled.delete(answer.id)
    assert filled.verify().differences == []


def test_past_generations_are_sources_when_asked_and_answers_are_not(store: Store) -> None:
    store.log("How long do bowhead whales live?", "Bowhead whales live for 211 years.", model="m1")
    store.log("How long do bowhead whales live?", "No idea.", model="m2", status="error")
    assert store.ask(QUESTION).abstained
    answer = store.ask(QUESTION, sources="generations")
    assert answer.text == "“Bowhead whales live for 211 years.” [1]"
    assert str(answer.citations[0].location) == "m1"
    again = store.ask(QUESTION, sources="both")
    assert {one.record_id for one in again.citations} == {one.record_id for one in answer.citations}


def test_well_judged_generations_come_first_when_preferred(store: Store) -> None:
    poor = store.log("Whales?", "Bowhead whales can live very long, 100 years.", model="m")
    good = store.log("Whales?", "Bowhead whales live for 211 years or more.", model="m")
    first = store.ask(QUESTION, sources="generations", passages=1, abstain_below=0.0).citations[0].record_id
    judged = {poor.id: good, good.id: poor}[first]
    store.score(judged.id, "quality", 0.9)
    store.score(first, "quality", 0.1)
    answer = store.ask(QUESTION, sources="generations", passages=1, prefer="quality", abstain_below=0.0)
    assert answer.citations[0].record_id == judged.id


def test_a_follow_up_is_understood_in_its_conversation(filled: Store) -> None:
    first = filled.ask("What do blue whales eat?", session_id="s")
    alone = filled.ask("And what about sperm ones?")
    second = filled.ask("And what about sperm ones?", session_id="s")
    assert second.question == "What do blue whales eat? And what about sperm ones?"
    assert "squid" in second.text
    assert alone.question == "And what about sperm ones?"
    roles = {(edge.role, edge.target_id) for edge in filled.relations(second.id) if edge.source_id == second.id}
    assert ("reply_to", first.id) in roles
    (session,) = filled.sessions()
    assert (session.session_id, session.records) == ("s", 2)


def test_one_text_in_two_documents_is_quoted_once(store: Store) -> None:
    for name in ("a.txt", "b.txt"):
        store.add(text="Bowhead whales can live for more than 200 years.", name=name)
    assert store.ask(QUESTION).text == "“Bowhead whales can live for more than 200 years.” [1]"


def test_a_quote_with_markers_of_its_own_forges_none(store: Store) -> None:
    store.add(text="Bowhead whales can live for 200 years [7], it is said [1].", name="wiki.txt")
    answer = store.ask(QUESTION)
    assert answer.text == "“Bowhead whales can live for 200 years ［7］, it is said ［1］.” [1]"
    assert answer.citations[0].quote == "Bowhead whales can live for 200 years [7], it is said [1]."
    assert answer.removed_markers == 0


def test_what_cannot_be_asked_is_named(filled: Store) -> None:
    before = filled.count()
    for arguments, says in (
        ({"question": " "}, "the question is empty"),
        ({"question": "x", "sources": "web"}, "sources is 'web'; it is one of documents, generations, both"),
        ({"question": "x", "passages": 0}, "passages is 0"),
        ({"question": "x", "passages": "5"}, "passages is '5'"),
        ({"question": "x", "diversity": 2.0}, "diversity is 2.0"),
        ({"question": "x", "quotes": 0}, "quotes is 0"),
        ({"question": "x", "quotes": -1}, "quotes is -1"),
        ({"question": "x", "neighbours": -1}, "neighbours is -1"),
        ({"question": "x", "abstain_below": float("nan")}, "abstain_below is nan"),
        ({"question": "x", "stream": True}, "stream is True; pass a function"),
        ({"question": "x", "generator": "m\0"}, "generator is 'm.x00'"),
        ({"question": "x", "metadata": {"answer": 1}}, "metadata has the key 'answer'"),
        ({"question": "x", "colour": 1}, "ask does not take 'colour'"),
        ({"question": "x", "tags": [""]}, "a tag is empty"),
        ({"question": "x", "metadata": 3}, "metadata is a int"),
        ({"question": "x", "where": "modle:x"}, "did you mean 'model'"),
    ):
        with pytest.raises(InvalidInput, match=says):
            filled.ask(**arguments)
    assert filled.count() == before
    with pytest.raises(InvalidInput, match="is no answer of `ask`"):
        filled.answer(filled.list("kind:document").records[0].id)


@pytest.mark.parametrize("name", ["all.jsonl", "all.parquet"])
def test_answers_survive_export_and_import(filled: Store, tmp_path: Path, name: str) -> None:
    answers = [filled.ask(QUESTION, session_id="s"), filled.ask("What do they eat?", session_id="s")]
    filled.export(tmp_path / name)
    with genstore.open(tmp_path / "other.store", auto_index=False) as other:
        other.log(output="so that parts have other ids")
        report = other.import_(tmp_path / name)
        assert (report.failed, report.notes) == (0, [])
        for answer in answers:
            found = other.answer(answer.id)
            assert [one.quote for one in found.citations] == [one.quote for one in answer.citations]
            assert (found.text, found.question, found.supported) == (answer.text, answer.question, answer.supported)
        other.export(tmp_path / f"again-{name}", where=f"-id:{other.list(limit=1, oldest_first=True).records[0].id}")
        again = other.import_(tmp_path / name)
        assert (again.stored, again.failed) == (0, 0)


def test_a_citation_of_a_document_that_is_not_there_is_left_out_and_said(filled: Store, tmp_path: Path) -> None:
    answer = filled.ask(QUESTION)
    filled.export(tmp_path / "some.jsonl", where="operation:ask")
    with genstore.open(tmp_path / "other.store", auto_index=False) as other:
        report = other.import_(tmp_path / "some.jsonl")
        assert "citations were left out, what they cite is not in the project" in report.notes[-1]
        assert other.answer(answer.id).citations == ()


def test_a_citation_into_another_project_is_neither_imported_nor_shown(
    filled: Store, open_store: OpenStore, tmp_path: Path
) -> None:
    secret = open_store(project="other", auto_index=False).log(output="what the other project knows", kind="document")
    report = imported(filled, tmp_path, record_id=secret.id, start=0, end=4)
    assert "1 citations were left out" in report.notes[-1]
    assert filled.answer(COPY).citations == ()
    with filled.database.write() as connection:  # as an older version would have stored it
        connection.execute(tables.citations.update().values(cited_id=secret.id))
    answer = filled.list("operation:ask", oldest_first=True, limit=1).records[0]
    assert filled.answer(answer.id).citations == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 5, "end": 5},
        {"start": 9, "end": 3},
        {"start": 0, "end": 2**40},
        {"sentence": [5, 2]},
        {"support": float("nan")},
        {"support": 7},
    ],
)
def test_a_citation_of_no_span_is_refused_and_costs_no_other_record(
    filled: Store, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    report = imported(filled, tmp_path, **wrong)
    assert (report.stored, report.failed) == (0, 1)
    assert "a citation is {" in report.errors[0][1]


def test_a_citation_beyond_the_end_of_its_text_is_left_out(filled: Store, tmp_path: Path) -> None:
    assert "1 citations were left out" in imported(filled, tmp_path, start=0, end=9_999).notes[-1]


COPY = "01a20f9a-2943-7000-9b4f-5e803130a7ff"


def imported(store: Store, folder: Path, **changed: Any) -> ImportReport:
    """An answer exported, and imported as COPY with a citation that was tampered with."""
    store.ask(QUESTION, quotes=1)
    store.export(folder / "answer.jsonl", where="operation:ask")
    row = json.loads((folder / "answer.jsonl").read_text())
    row |= {"id": COPY, "citations": [row["citations"][0] | changed], "relations": []}
    (folder / "answer.jsonl").write_text(json.dumps(row))
    return store.import_(folder / "answer.jsonl")


@pytest.mark.parametrize("known", [5, {"unsupported": 5, "evidence": "x"}, {"unsupported": [[1], "a", [1, 2]]}])
def test_an_answer_whose_metadata_was_edited_is_still_read(filled: Store, known: Any) -> None:
    answer = filled.ask(QUESTION)
    filled.set_metadata(answer.id, {"answer": known})
    assert filled.answer(answer.id).citations == answer.citations
