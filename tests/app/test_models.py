"""Which models search is a matter of settings: the whole product with an endpoint, a model of one's own, a cross-encoder."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import ConfigurationError, Settings, secrets_from_files
from app.state import StateFolder
from app.wiring import Grounded
from generation.events import Finished, SourcesFound
from retrieval.adapters.model_folder import package_folder
from tests import cross_encoders
from tests.app.serving import Service, answer, fake_embedder, ingest, product, settings_for, write
from tests.model_endpoint import Reply, Seen, endpoint
from tests.retrieval.test_http_rerank import v1
from tests.retrieval.test_openai_embeddings import whole

DOCS = {
    "refunds.md": "# Refunds\n\nRefunds are issued within 14 days.\n",
    "weather.md": "# Weather\n\nIt rained all day in the harbour.\n",
    "bolts.md": "# Bolts\n\nBolts are sold by weight.\n",
}
ASKED = "When are refunds issued?"


def used(tmp_path: Path, use: Callable[[Grounded], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        async with product(tmp_path, DOCS, **settings) as grounded:
            await grounded.settled()
            await use(grounded)

    asyncio.run(main())


async def asked(grounded: Grounded) -> tuple[Finished, SourcesFound]:
    events = await answer(grounded, ASKED)
    return (
        next(event for event in events if isinstance(event, Finished)),
        next(event for event in events if isinstance(event, SourcesFound)),
    )


def embeddings(seen: Seen, **more: Any) -> dict[str, Any]:
    return {"backend": "openai", "base_url": seen.url, "model": "some-embedder", "dimensions": 64, **more}


class TestEmbeddingsEndpoint:
    def test_ingest_and_answer_without_token_vectors_are_not_degraded(self, tmp_path: Path) -> None:
        async def use(grounded: Grounded) -> None:
            end, found = await asked(grounded)
            assert (end.finish_reason, end.degraded) == ("stop", ())
            assert found.passages[0].name == "refunds.md"
            assert {"dense", "bm25"} <= set(found.passages[0].hit.places)
            assert "rerank" not in found.passages[0].hit.places
            assert grounded.embedder.name == "some-embedder"

        with endpoint(whole) as seen:
            used(tmp_path, use, embedder=embeddings(seen))
            assert seen.bodies[-1]["input"] == [ASKED]

    def test_a_second_ingest_embeds_nothing(self, tmp_path: Path) -> None:
        with endpoint(whole) as seen:

            async def use(grounded: Grounded) -> None:
                before = len(seen.bodies)
                await ingest(grounded, tmp_path / "docs")
                assert len(seen.bodies) == before > 0

            used(tmp_path, use, embedder=embeddings(seen))

    def test_an_endpoint_that_goes_down_leaves_the_words(self, tmp_path: Path) -> None:
        down: list[bool] = []

        async def use(grounded: Grounded) -> None:
            down.append(True)
            end, found = await asked(grounded)
            assert (end.finish_reason, end.degraded) == ("stop", ("embedder",))
            assert found.passages[0].name == "refunds.md"

        with endpoint(lambda body: Reply({}, status=400) if down else whole(body)) as seen:
            used(tmp_path, use, embedder=embeddings(seen))

    def test_an_endpoint_that_hangs_leaves_the_words_in_time(self, tmp_path: Path) -> None:
        slow: list[bool] = []

        async def use(grounded: Grounded) -> None:
            slow.append(True)
            end, _ = await asked(grounded)
            assert end.degraded == ("embedder",)

        with endpoint(lambda body: Reply({}, wait_s=2) if slow else whole(body)) as seen:
            used(tmp_path, use, embedder=embeddings(seen), retrieval={"embed_timeout_s": 0.3})

    @pytest.mark.parametrize("missing", ["base_url", "model", "dimensions"])
    def test_what_an_endpoint_needs_is_asked_for(self, missing: str) -> None:
        given = {"base_url": "http://127.0.0.1:1/v1", "model": "m", "dimensions": 64}
        with pytest.raises(ValidationError, match="needs base_url, model and dimensions"):
            Settings(embedder={"backend": "openai", **{k: v for k, v in given.items() if k != missing}})

    def test_a_tokenizer_that_is_none_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text("{}")

        async def use(_: Grounded) -> None:
            raise AssertionError

        with endpoint(whole) as seen, pytest.raises(ConfigurationError, match=r"embedder\.tokenizer"):
            used(tmp_path, use, embedder=embeddings(seen, tokenizer=str(tmp_path / "tokenizer.json")))

    def test_its_key_may_come_from_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "key").write_text("k-123\n")
        (tmp_path / "key").chmod(0o600)
        for section in ("EMBEDDER", "RERANKER"):
            monkeypatch.setenv(f"GROUNDED_{section}__API_KEY_FILE", str(tmp_path / "key"))
        assert secrets_from_files() == {"embedder": {"api_key": "k-123"}, "reranker": {"api_key": "k-123"}}


class TestRerankEndpoint:
    def test_its_order_is_one_list_more(self, tmp_path: Path) -> None:
        async def use(grounded: Grounded) -> None:
            end, found = await asked(grounded)
            assert end.degraded == ()
            assert all({"rerank", "cross"} <= set(passage.hit.places) for passage in found.passages)
            assert found.passages[0].hit.places["cross"].rank == 1

        with endpoint(v1) as seen, fake_embedder():
            used(tmp_path, use, reranker={"backend": "http", "base_url": seen.url, "model": "m"})
            assert seen.bodies[0]["query"] == ASKED

    @pytest.mark.parametrize("reply", [Reply({"results": []}), Reply({}, status=500), Reply({}, wait_s=2)])
    def test_without_its_answer_the_order_stands(self, tmp_path: Path, reply: Reply) -> None:
        async def use(grounded: Grounded) -> None:
            end, found = await asked(grounded)
            assert (end.finish_reason, end.degraded) == ("stop", ("reranker",))
            assert all("rerank" in p.hit.places and "cross" not in p.hit.places for p in found.passages)

        settings = {"backend": "http", "model": "m", "timeout_s": 0.3}
        with endpoint(lambda _: reply) as seen, fake_embedder():
            used(tmp_path, use, reranker={**settings, "base_url": seen.url})

    def test_one_that_is_left_alone_is_told_by_health(self, tmp_path: Path) -> None:
        with endpoint(lambda _: Reply({}, status=500)) as seen, fake_embedder():
            settings = settings_for(
                tmp_path / "state", reranker={"backend": "http", "model": "m", "base_url": seen.url}
            )
            with StateFolder(settings.state).owned(), Service(settings) as service:
                service.run(ingest(service.grounded, write(tmp_path / "docs", DOCS)))
                ready = [service.get("/health/ready").json()["checks"]["reranker"]]
                for _ in range(5):
                    assert service.ask(ASKED).json()["degraded"] == ["reranker"]
                told = service.get("/health/ready")
        assert [*ready, told.json()["checks"]["reranker"]] == ["ok", "degraded"]
        assert (told.status_code, told.json()["status"]) == (200, "ready")

    @pytest.mark.parametrize(("backend", "needs"), [("http", "base_url"), ("cross_encoder", "model")])
    def test_what_it_needs_is_asked_for(self, backend: str, needs: str) -> None:
        with pytest.raises(ValidationError, match=f"needs {needs}"):
            Settings(reranker={"backend": backend})


class TestCrossEncoder:
    @pytest.mark.models
    def test_it_reads_after_late_interaction(self, tmp_path: Path) -> None:
        folder = cross_encoders.build(tmp_path / "encoder")

        async def use(grounded: Grounded) -> None:
            end, found = await asked(grounded)
            assert end.degraded == ()
            assert all({"rerank", "cross"} <= set(passage.hit.places) for passage in found.passages)

        with fake_embedder():
            used(tmp_path, use, reranker={"backend": "cross_encoder", "model": str(folder), "timeout_s": 30.0})

    def test_one_that_is_not_there_is_told_by_health_and_by_each_answer(self, tmp_path: Path) -> None:
        settings = settings_for(
            tmp_path / "state", reranker={"backend": "cross_encoder", "model": str(tmp_path / "nowhere")}
        )

        async def use(grounded: Grounded) -> None:
            end, found = await asked(grounded)
            assert (end.finish_reason, end.degraded) == ("stop", ("reranker",))
            assert found.passages[0].name == "refunds.md"

        with fake_embedder():
            used(tmp_path, use, reranker=settings.reranker.model_dump())
            with StateFolder(settings.state).owned(), Service(settings) as service:
                service.run(service.grounded.settled())
                checks = service.get("/health/ready").json()
        assert checks["status"] == "ready"
        assert checks["checks"]["reranker"] == "degraded"
        assert checks["checks"]["embedder"] == "ok"


@pytest.mark.models
def test_a_model_of_ones_own_by_its_folder(tmp_path: Path) -> None:
    folder = shutil.copytree(package_folder(), tmp_path / "my-model")

    async def use(grounded: Grounded) -> None:
        end, found = await asked(grounded)
        assert end.degraded == ()
        assert found.passages[0].name == "refunds.md"
        assert "rerank" in found.passages[0].hit.places
        assert (grounded.embedder.name, grounded.embedder.dimension) == ("my-model", 128)

    used(tmp_path, use, embedder={"model": str(folder), "dimensions": 128, "query_prefix": "query: "})
