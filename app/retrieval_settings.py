"""From a question to the passages that an answer may rest on: what is searched for, how, and what is kept of it."""

from typing import Literal

from pydantic import Field

from app.settings_section import Section


class QuerySettings(Section):
    """What is searched for."""

    rewrite: Literal["auto", "rules", "off"] = Field(
        "auto",
        description="How a follow-up becomes a question that stands alone: auto asks the chat model where one is configured, "
        "one more call for each question but the first of a conversation; rules carries terms of the turns before; "
        "off searches for the question as it is.",
    )
    rewrite_timeout_s: float = Field(
        3.0, gt=0, description="A chat model that takes longer to rewrite a question is not waited for; rules stand in."
    )


class RetrievalSettings(Section):
    """How passages are found."""

    lexical: Literal["engine", "rank_bm25"] = Field(
        "engine",
        description="Who searches by words: the engine's BM25, or the library rank-bm25, which scores every passage in "
        "memory and finds the same.",
    )
    rank_bm25_chunks: int = Field(
        10_000,
        ge=1,
        description="With rank_bm25, a larger collection is searched by vectors alone, and its answers say so.",
    )
    candidates: int = Field(
        50, ge=1, le=1000, description="Hits asked of each search arm; more costs time and finds a little more."
    )
    rrf_k: int = Field(60, ge=0, description="The constant of reciprocal rank fusion; larger flattens the ranks.")
    dense_weight: float = Field(1.0, ge=0, description="Weight of dense search in the fusion.")
    bm25_weight: float = Field(1.0, ge=0, description="Weight of BM25 in the fusion.")
    named_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the searches within those documents that the question names; 0 leaves them out.",
    )
    rerank_k: int = Field(
        10,
        ge=0,
        description="The constant of the second fusion, with the reranker's order; smaller trusts first places more.",
    )
    rerank_weight: float = Field(
        3.0, ge=0, description="Weight of the reranker's order in the fusion; 0 switches reranking off."
    )
    read_closely: int = Field(20, ge=1, le=200, description="How many of the fused hits the reranker reads.")
    timeout_s: float = Field(5.0, gt=0, description="A search that takes longer is given up with deadline_exceeded.")
    embed_timeout_s: float = Field(
        2.0, gt=0, description="A question that is not embedded by then is searched for by its words alone."
    )
    dense_timeout_s: float = Field(1.0, gt=0, description="A dense search that takes longer is done without.")
    bm25_timeout_s: float = Field(2.0, gt=0, description="A BM25 search that takes longer is done without.")
    rerank_timeout_s: float = Field(
        0.5, gt=0, description="Late interaction that takes longer is done without; degraded tells of all four."
    )


class ContextSettings(Section):
    """What of the found passages the answer may rest on."""

    token_budget: int = Field(
        2048,
        ge=64,
        description="Tokens of passages given to the generator, counted as the model that answers counts them; more costs "
        "money and time.",
    )
    per_source: int = Field(
        4, ge=1, description="Passages of one document at most, so that no single file crowds out the rest."
    )
    near_duplicate: float = Field(
        0.9, gt=0, le=1, description="Share of equal word triples at which two passages count as the same."
    )
    prefer_latest: bool = Field(
        True,
        description="Of two documents of one name that say the same with other numbers, dates or names, use the newer.",
    )
    widen: Literal["off", "blocks", "section"] = Field(
        "blocks",
        description="Passages grow over their neighbours as the token budget allows: blocks where a list, table or piece of "
        "code was cut, section wherever the section goes on, off never.",
    )
    tokenizer: str = Field(
        "auto",
        description="How tokens of a chat model are counted: the path of its tokenizer.json, or auto, which asks the "
        "endpoint's /tokenize, as vLLM has it, and estimates where there is none; estimate asks nobody.",
    )
