"""Any OpenAI-compatible `/v1/embeddings` as an embedder: OpenAI, vLLM, TEI and others.

Such an endpoint gives one vector a text and no token vectors, so late interaction has nothing to read: `bits` are empty, and
the search leaves that stage out. A batch counts whole or not at all: what is wrong in one vector may be wrong in its order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import stamina

from retrieval.adapters.json_endpoint import EndpointFailed, JsonEndpoint
from retrieval.adapters.token_counts import Counter, estimated
from retrieval.errors import EmbedderUnavailable
from retrieval.model import EmbeddedPassage, EmbeddedQuery, Floats

_NUMBER = 32  # bytes of a number in an answer, with its comma; seventeen digits and an exponent are fewer
_ROOM = 2**16  # bytes of an answer beside its numbers
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_NEXT = (
    "Check the GROUNDED_EMBEDDER__ settings of the endpoint and whether it answers; what was embedded so far is kept."
)


@dataclass(frozen=True, slots=True)
class EndpointModel:
    """What the endpoint serves. `window` counts tokens; `ask_dimension` sends the dimension along, which only models made
    for it (Matryoshka) understand."""

    name: str
    dimension: int
    window: int = 512
    query_prefix: str = ""
    passage_prefix: str = ""
    ask_dimension: bool = False


@dataclass(frozen=True, slots=True)
class Batches:
    """How much goes into one request, and how often it is tried."""

    tokens: int = 8192
    texts: int = 64
    attempts: int = 5


class OpenAIEmbedder:
    """The embedder port over an endpoint. Holds a pool of connections: `aclose` it at the end."""

    def __init__(
        self,
        base_url: str,
        model: EndpointModel,
        api_key: str = "",
        batches: Batches = Batches(),
        timeout_s: float = 30.0,
        counter: Counter = estimated,
    ) -> None:
        """`timeout_s` is for one request; `counter` counts as the model does."""
        self._model = model
        self._batches = batches
        self._counter = counter
        self._endpoint = JsonEndpoint(f"{base_url.rstrip('/')}/embeddings", api_key, timeout_s)

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def fingerprint(self) -> str:
        """Of the name, since no weights can be seen: who serves another model under the same name must reindex."""
        m = self._model
        parts = ("endpoint", m.name, str(m.dimension), str(m.window), m.query_prefix, m.passage_prefix)
        return sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def dimension(self) -> int:
        return self._model.dimension

    @property
    def window(self) -> int:
        return self._model.window

    def load(self) -> "OpenAIEmbedder":
        """There is nothing to load, and a start asks nobody."""
        return self

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._endpoint.aclose()

    def count(self, texts: Sequence[str]) -> list[int]:
        return self._counter(texts)

    async def embed_query(self, text: str) -> EmbeddedQuery:
        vectors = await self._embedded([self._model.query_prefix + text])
        return EmbeddedQuery(vectors[0], np.zeros((0, self.dimension), np.float32))

    async def embed_passages(self, texts: Sequence[str]) -> list[EmbeddedPassage]:
        prefixed = [self._model.passage_prefix + text for text in texts]
        vectors: list[Floats] = []
        for batch in batched(prefixed, self._counter(prefixed), self._batches):
            vectors += await self._embedded(batch)
        return [EmbeddedPassage(vector, np.zeros((0, self.dimension // 8), np.uint8)) for vector in vectors]

    async def _embedded(self, texts: Sequence[str]) -> list[Floats]:
        """One request, tried again while that may help, for as long as the caller waits."""
        body: dict[str, Any] = {
            "model": self._model.name,
            "input": [text or " " for text in texts],  # endpoints refuse an empty text
            "encoding_format": "float",
        }
        if self._model.ask_dimension:
            body["dimensions"] = self.dimension
        largest = _ROOM + len(texts) * self.dimension * _NUMBER
        try:
            async for attempt in self._tries():
                with attempt:
                    return _vectors(await self._endpoint.post(body, largest), len(texts), self.dimension)
        except EndpointFailed as error:
            raise EmbedderUnavailable(f"The embeddings endpoint {error}.", _NEXT) from None
        raise AssertionError("the last try returns or raises")

    def _tries(self) -> Any:
        return stamina.retry_context(
            on=_mends,
            attempts=self._batches.attempts,
            timeout=None,
            wait_initial=_FIRST_WAIT_S,
            wait_max=_LONGEST_WAIT_S,
            wait_jitter=_FIRST_WAIT_S,
        ).with_name("embeddings", (), {})  # as the log tells it


def _mends(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds, where the endpoint tells: no sooner than it asks, and not at all
    where it asks for more than anybody waits."""
    if not isinstance(error, EndpointFailed) or not error.again:
        return False
    if error.after_s is None:
        return True
    return error.after_s if error.after_s <= _LONGEST_WAIT_S else False


def batched(texts: Sequence[str], counts: Sequence[int], limits: Batches) -> list[list[str]]:
    """In the order given, each batch within both limits; a text longer than a batch is one by itself."""
    batches: list[list[str]] = []
    spent = 0
    for text, count in zip(texts, counts, strict=True):
        if not batches or len(batches[-1]) == limits.texts or spent + count > limits.tokens:
            batches.append([])
            spent = 0
        batches[-1].append(text)
        spent += count
    return batches


def _vectors(answer: Any, count: int, dimension: int) -> list[Floats]:
    """Unit vectors in the order of the texts, whatever the order they are told in."""
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        raise EndpointFailed("did not answer with a vector for every text")
    found: dict[int, Floats] = {}
    for entry in entries:
        index = entry.get("index") if isinstance(entry, dict) else None
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count or index in found:
            raise EndpointFailed("left out an index, told one twice, or one that it was not sent")
        found[index] = _unit(entry.get("embedding"), dimension)
    return [found[i] for i in range(count)]


def _unit(numbers: Any, dimension: int) -> Floats:
    if not isinstance(numbers, list) or len(numbers) != dimension:
        told = len(numbers) if isinstance(numbers, list) else "no"
        raise EndpointFailed(f"gave a vector of {told} numbers where embedder.dimensions is {dimension}")
    if any(not isinstance(x, int | float) or isinstance(x, bool) for x in numbers):
        raise EndpointFailed("gave a vector with something in it that is no number")
    vector = np.array(numbers, dtype=np.float64)
    with np.errstate(over="ignore"):  # told below, as a vector without a direction
        length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise EndpointFailed("gave a vector without a direction")
    return np.asarray(vector / length, dtype=np.float32)
