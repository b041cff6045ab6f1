"""Settings: argument over environment over genstore.toml over default; a bad one is named with where it stands."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import genstore
from genstore.config import NAMES, Settings, resolve_settings, template
from genstore.errors import InvalidInput


def test_the_nearer_source_wins(tmp_path: Path) -> None:
    (tmp_path / "genstore.toml").write_text('project = "toml"\ndepth = 7\nfusion = "rrf"\n')
    environment = {"GENSTORE_PROJECT": "environment", "GENSTORE_DEPTH": "8", "OTHER": "x", "GENSTORE_STORE": "s"}
    settings = resolve_settings({"project": "argument", "index": None}, environment, tmp_path)
    assert (settings.project, settings.depth, settings.fusion, settings.dense_weight) == (
        "argument",
        8,
        "rrf",
        Settings().dense_weight,
    )
    assert resolve_settings({}, environment, tmp_path).project == "environment"
    assert resolve_settings({}, {}, tmp_path).project == "toml"
    assert resolve_settings({}, {}, tmp_path / "none") == Settings() == resolve_settings({}, {})


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("off", False), ("no", False)])
def test_the_environment_spells_truth_in_words(text: str, value: bool) -> None:
    assert resolve_settings({}, {"GENSTORE_COMPRESS": text}).compress is value


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("compress", "maybe", "compress is 'maybe' in the argument; it takes a bool"),
        ("depth", "many", "depth is 'many' in the argument; it takes a int"),
        ("depth", True, "depth is True in the argument; it takes a int"),
        ("depth", 0, "depth is 0 in the argument; it is greater than 0"),
        ("idle_s", -1, "idle_s is -1 in the argument; it is greater than 0"),
        ("lease_timeout_s", float("nan"), "lease_timeout_s is nan in the argument; it is greater than 0"),
        ("dense_weight", 1.5, "dense_weight is 1.5 in the argument; it lies between 0 and 1"),
        ("dense_weight", float("nan"), "dense_weight is nan in the argument; it lies between 0 and 1"),
        ("fusion", "sum", "fusion is 'sum' in the argument; it is one of convex, rrf, dbsf"),
        ("synchronous", "off", "synchronous is 'off' in the argument; it is one of normal, full"),
        ("project", 5, "project is 5 in the argument; it takes a str"),
        ("index_quantisation", "int4", "index_quantisation is 'int4' in the argument; it is one of int8"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_settings({name: value}, {})
    assert str(caught.value) == says


def test_the_source_of_a_bad_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="depth is 'x' in GENSTORE_DEPTH"):
        resolve_settings({}, {"GENSTORE_DEPTH": "x"})
    path = tmp_path / "genstore.toml"
    for text, says in (
        ('depth = "x"', f"depth is 'x' in {path}"),
        ("depht = 1", f"{path} has the unknown setting 'depht'; settings are project"),
        ("depth =", f"{path} cannot be read: "),
        ("\udc80", f"{path} cannot be read: "),
    ):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(InvalidInput) as caught:
            resolve_settings({}, {}, tmp_path)
        assert str(caught.value).startswith(says)


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown setting 'colour'; settings are project, embedder"):
        genstore.open(tmp_path / "s", colour="red")
    assert not (tmp_path / "s").exists()


def test_the_template_names_every_setting_and_changes_none(tmp_path: Path) -> None:
    path = tmp_path / "genstore.toml"
    path.write_text(template())
    assert resolve_settings({}, {}, tmp_path) == Settings()
    uncommented = "\n".join(
        line.removeprefix("# ") for line in template().splitlines() if " = " in line and line.startswith("# ")
    )
    assert set(tomllib.loads(uncommented)) == set(NAMES)


def test_the_template_can_be_uncommented_as_it_is(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in template().splitlines() if " = " in line]
    (tmp_path / "genstore.toml").write_text("\n".join(lines))
    assert resolve_settings({}, {}, tmp_path) == Settings()
    assert resolve_settings({}, {"GENSTORE_INDEX": "", "GENSTORE_BLOBS": ""}) == Settings()


def test_a_stores_own_settings_hold_when_it_is_opened(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "genstore.toml").write_text('project = "mine"')
    with genstore.open(tmp_path / "s", auto_index=False) as store:
        assert store.log(prompt="q").project == "mine"
    with genstore.open(tmp_path / "s", auto_index=False, project="other") as store:
        assert store.count() == 0


def test_the_store_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENSTORE_STORE", str(tmp_path / "s"))
    monkeypatch.setenv("GENSTORE_AUTO_INDEX", "false")
    with genstore.open() as store:
        store.log(prompt="q")
    assert (tmp_path / "s" / "genstore.db").exists()
