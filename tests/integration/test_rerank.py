"""Reranking with a real cross-encoder, tiny and made here: its order is the one that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genstore import Store
from genstore.errors import GeneratorError


@pytest.fixture(scope="module")
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one small layer and random weights with a classification head of one label."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("reranker")
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *letters.upper(), *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({name: at for at, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast: Any = PreTrainedTokenizerFast
    fast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(names), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        initializer_range=0.3,
    )  # fmt: skip
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_the_cross_encoders_order_counts(store: Store, tiny_cross_encoder: Path) -> None:
    from genstore.rag.rerank import cross_encoder

    texts = [f"Whale {letter * 5} swims." for letter in "abcdef"]
    for number, text in enumerate(texts):
        store.add(text=text, name=f"{number}.txt")
    scores = cross_encoder(str(tiny_cross_encoder))("Which whale swims?", texts)
    assert len(set(scores)) == len(texts)
    assert all(0 <= score <= 1 for score in scores)
    answer = store.ask(
        "Which whale swims?", passages=1, diversity=0.0, rerank=str(tiny_cross_encoder), abstain_below=0.0
    )
    best = texts[max(range(len(texts)), key=scores.__getitem__)]
    assert answer.citations[0].quote == best


def test_what_was_judged_well_is_still_preferred(store: Store, tiny_cross_encoder: Path) -> None:
    for letter in "abcdef":
        store.log(output=f"Whale {letter * 5} swims.", model="m")

    def ranked() -> list[str]:
        """The records of the sources, in the order of their numbers."""
        answer = store.ask(
            "Which whale swims?", sources="generations", passages=6, diversity=0.0, prefer="quality",
            rerank=str(tiny_cross_encoder), abstain_below=0.0,
        )  # fmt: skip
        edges = [edge for edge in store.relations(answer.id) if edge.role == "retrieved"]
        return [edge.target_id for edge in sorted(edges, key=lambda edge: passage(edge.attributes)["number"])]

    first, second, *_ = ranked()
    store.score(second, "quality", 1.0)
    assert ranked()[:2] == [second, first]


def passage(attributes: Any) -> Any:
    return attributes["passages"][0]


def test_a_cross_encoder_that_is_not_there_is_named(store: Store) -> None:
    store.add(text="Whales swim.", name="whales.txt")
    with pytest.raises(GeneratorError, match=r"the cross-encoder '\./no/such' cannot be loaded"):
        store.ask("Do whales swim?", rerank="./no/such")
