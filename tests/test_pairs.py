"""Beside an ECG stands its report, or the knowledge base's words for its labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from mccgaa.config import PretrainConfig, TextConfig
from mccgaa.data.store import SignalStore
from mccgaa.errors import RunError
from mccgaa.knowledge import Knowledge
from mccgaa.pairs import record_texts


@pytest.fixture
def store(twin_store: Path) -> SignalStore:
    return SignalStore.open(twin_store)


def test_reports_are_taken_as_they_are_and_empty_ones_left_out(store):
    store.records.loc[0, "text"] = ""
    texts = record_texts(
        store, PretrainConfig(text="report"), TextConfig(), Knowledge.load()
    )
    assert texts[0] is None
    assert texts[1:] == list(store.records["text"][1:])


def test_knowledge_texts_name_every_statement_of_a_record(store):
    knowledge = Knowledge.load()
    texts = record_texts(
        store, PretrainConfig(text="knowledge"), TextConfig(), knowledge
    )
    for text, statements in zip(texts, store.records["statements"], strict=True):
        for statement in statements:
            assert knowledge.text("statements", statement) in text


def test_a_source_without_statements_says_to_use_its_reports(store):
    store.meta["source"] = "mimic"
    with pytest.raises(RunError, match="pretrain it with text: report"):
        record_texts(
            store, PretrainConfig(text="knowledge"), TextConfig(), Knowledge.load()
        )
