"""A passage that gets another place is the same in all else."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np

from ingest.metadata import Metadata
from retrieval.model import Hit, Part, Passage, Place


def test_placing_changes_the_hit_and_nothing_else() -> None:
    passage = Passage(
        hit=Hit("p", {}),
        document_id="d",
        collection_id="c",
        version=2,
        ordinal=3,
        name="n",
        title="t",
        media_type="m",
        heading_path=("h",),
        page=4,
        line=5,
        cell="A1",
        start=6,
        end=7,
        text="x",
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        bits=np.zeros((2, 48), np.uint8),
        tokens=8,
        header="head",
        metadata=Metadata(author="somebody"),
        parts=(Part(0, 1, "head", None),),
    )
    hit = Hit("p", {"rerank": Place(1, 0.5)})
    placed, twin = passage.placed(hit), replace(passage, hit=hit)
    for field in fields(Passage):
        assert getattr(placed, field.name) is getattr(twin, field.name), field.name
