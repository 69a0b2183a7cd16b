"""Keys: how they are made, kept, looked at and ended; and who is let in without any."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.api.authentication import from_here
from app.commands.keys import Wanted, _made, create, list_keys, revoke
from app.commands.serve import _refuse_strangers
from app.errors import InvalidApiKey, KeyNotFound, KeyRevoked, MissingApiKey, ValidationFailed
from app.keys.authenticator import Authenticator
from app.keys.model import LOCAL, SCOPES, Key, Principal, digest, new_key
from app.keys.ring import KeyRing
from app.keys.routes import NEEDS, need_of
from app.settings import ConfigurationError
from app.state import StateFolder
from app.wiring_keys import key_store
from ingest.errors import CatalogUnavailable
from tests.app.serving import settings_for
from tests.patience import PATIENCE_S

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)


def key(**more: Any) -> tuple[Key, str]:
    given: dict[str, Any] = {"tenant": "default", "scopes": ["ask"], "groups": frozenset(), "collections": None}
    return new_key(**{"name": "a", "expires_at": None, **given, **more})


@asynccontextmanager
async def ring(folder: Path, clock: Any = None) -> AsyncIterator[KeyRing]:
    async with key_store(StateFolder(folder), settings_for(folder).database_url) as store:
        found = KeyRing(store, **({"clock": clock} if clock else {}))
        try:
            yield found
        finally:
            await found.close()


class TestKeys:
    def test_a_key_is_256_random_bits_and_nothing_of_it_is_kept(self, tmp_path: Path) -> None:
        made, secret = key()
        assert re.fullmatch(r"grd_[A-Za-z0-9_-]{43}", secret)
        assert made.digest == digest(secret)
        assert secret[4:] not in repr(made)
        assert len({key()[1] for _ in range(100)}) == 100

        async def main() -> list[Key]:
            async with ring(tmp_path) as found:
                await found.store.add(made)
                return await found.store.all()

        assert asyncio.run(main()) == [made]
        for file in tmp_path.iterdir():
            assert secret[4:].encode() not in file.read_bytes()

    def test_what_a_key_is_good_for_comes_back(self, tmp_path: Path) -> None:
        made, secret = key(groups=None, collections=frozenset({"a"}), scopes=SCOPES, tenant="acme", expires_at=NOW)

        async def main() -> Principal:
            async with ring(tmp_path) as found:
                await found.store.add(made)
                found._now = lambda: NOW - timedelta(seconds=1)
                await found.fresh()
                return found.principal(secret)

        who = asyncio.run(main())
        assert who == Principal("acme", made.id, frozenset(SCOPES), None, frozenset({"a"}), NOW)
        assert not who.operator

    def test_unknown_revoked_and_expired_ones(self, tmp_path: Path) -> None:
        made, secret = key(expires_at=NOW)
        other, revoked = key()

        async def main() -> None:
            async with ring(tmp_path) as found:
                await found.store.add(made)
                await found.store.add(other)
                assert await found.store.revoke(other.id, NOW)
                assert not await found.store.revoke("key_none", NOW)
                await found.fresh()
                found._now = lambda: NOW
                with pytest.raises(InvalidApiKey, match="expired"):
                    found.principal(secret)
                with pytest.raises(KeyRevoked):
                    found.principal(revoked)
                for wrong in ("grd_" + "A" * 43, secret[:-1], secret + "x", "", made.digest or ""):
                    with pytest.raises(InvalidApiKey):
                        found.principal(wrong)

        asyncio.run(main())

    def test_a_revocation_twice_keeps_the_first_time(self, tmp_path: Path) -> None:
        made, _ = key()

        async def main() -> list[Key]:
            async with ring(tmp_path) as found:
                await found.store.add(made)
                await found.store.revoke(made.id, NOW)
                await found.store.revoke(made.id, NOW + timedelta(days=1))
                return await found.store.all()

        assert asyncio.run(main())[0].revoked_at == NOW


class TestRing:
    def test_what_another_process_changes_is_seen_within_a_second(self, tmp_path: Path) -> None:
        made, secret = key()
        time = [0.0]

        async def main() -> None:
            async with ring(tmp_path, lambda: time[0]) as mine, ring(tmp_path) as theirs:
                await mine.fresh()
                assert mine.empty
                await theirs.store.add(made)
                time[0] = 1.0
                await mine.fresh()
                assert mine.principal(secret) == made.principal
                await theirs.store.revoke(made.id, NOW)
                time[0] = 2.0
                await mine.fresh()
                with pytest.raises(KeyRevoked):
                    mine.principal(secret)
                assert not mine.empty

        asyncio.run(main())

    def test_many_requests_are_one_look(self, tmp_path: Path) -> None:
        async def main() -> int:
            async with ring(tmp_path, lambda: 1.0) as found:
                looks = 0
                since = found.store.since

                async def counted(seen: int) -> Any:
                    nonlocal looks
                    looks += 1
                    return await since(seen)

                found.store.since = counted  # type: ignore[method-assign]
                await asyncio.gather(*(found.fresh() for _ in range(200)))
                return looks

        assert asyncio.run(main()) == 1

    def test_open_work_is_told_of_its_end_and_what_is_dropped_is_forgotten(self, tmp_path: Path) -> None:
        (one, _), (two, _) = key(), key()

        async def main() -> None:
            async with ring(tmp_path) as found:
                for each in (one, two):
                    await found.store.add(each)
                await found.fresh()
                end, other = found.end_of(one.principal), found.end_of(two.principal)
                assert found.end_of(LOCAL) is None
                assert end is not None
                assert other is not None
                await found.store.revoke(one.id, NOW)
                assert isinstance(await asyncio.wait_for(end, PATIENCE_S), KeyRevoked)
                assert not other.done()
                del end, other
                assert found._watching is not None
                await asyncio.wait_for(found._watching, PATIENCE_S)
                assert not found._watched

        asyncio.run(main())

    def test_where_the_catalog_cannot_be_read_nobody_is_let_in_and_streams_end(self, tmp_path: Path) -> None:
        made, _ = key()
        time = [0.0]

        async def main() -> None:
            async with ring(tmp_path, lambda: time[0]) as found:
                await found.store.add(made)
                await found.fresh()

                async def broken(_: int) -> Any:
                    raise CatalogUnavailable("It is away.")

                found.store.since = broken  # type: ignore[method-assign]
                end = found.end_of(made.principal)
                assert end is not None
                time[0] = 1.0
                with pytest.raises(CatalogUnavailable):
                    await found.fresh()
                await asyncio.sleep(0.6)
                assert not end.done()
                time[0] = 3.0
                assert isinstance(await asyncio.wait_for(end, PATIENCE_S), CatalogUnavailable)

        asyncio.run(main())

    def test_work_that_goes_on_without_a_request(self, tmp_path: Path) -> None:
        made, _ = key()
        unknown = replace(made.principal, key_id="key_000000000000000000000000")

        async def main() -> None:
            async with ring(tmp_path) as found:
                await found.store.add(made)
                await found.check(made.principal)
                await found.check(LOCAL)
                with pytest.raises(KeyRevoked):
                    await found.check(unknown)
                with pytest.raises(KeyRevoked):
                    await found.check(replace(made.principal, key_id="oidc_1", until=NOW))

        asyncio.run(main())


class TestAuthenticate:
    def asked(self, folder: Path, *headers: bytes, keys: tuple[Key, ...] = (), only_here: bool = True) -> Principal:
        async def main() -> Principal:
            async with ring(folder) as found:
                for each in keys:
                    await found.store.add(each)
                return await Authenticator(found, None, only_here=only_here).authenticate(headers)

        return asyncio.run(main())

    def test_open_only_without_any_key_and_only_here(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path / "a") == LOCAL
        assert self.asked(tmp_path / "a", b"Bearer whatever") == LOCAL
        with pytest.raises(MissingApiKey):
            self.asked(tmp_path / "a", only_here=False)
        made, secret = key()
        with pytest.raises(MissingApiKey):
            self.asked(tmp_path / "b", keys=(made,))
        assert self.asked(tmp_path / "b", f"bearer  {secret}".encode()) == made.principal

    def test_closed_stays_closed_when_all_keys_are_revoked(self, tmp_path: Path) -> None:
        with pytest.raises(MissingApiKey):
            self.asked(tmp_path, keys=(replace(key()[0], revoked_at=NOW),))

    def test_headers_that_are_none(self, tmp_path: Path) -> None:
        made, secret = key()
        good = secret.encode()
        bad = [(b"Basic " + good,), (good,), (b"Bearer",), (b"Bearer " + good + b" x",), (b"Bearer " + good,) * 2]
        bad += [(b"Bearer " + b"x" * 9000,), ("Bearer grd_\u00e4".encode(),), (b"",)]
        for headers in bad:
            with pytest.raises(InvalidApiKey):
                self.asked(tmp_path / str(bad.index(headers)), *headers, keys=(made,))

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com", "::ffff:127.0.0.1"])
    def test_no_other_bind_without_keys(self, tmp_path: Path, host: str) -> None:
        settings = settings_for(tmp_path / "state", host=host)
        with pytest.raises(ConfigurationError) as refused:
            asyncio.run(_refuse_strangers(settings))
        assert "grounded keys create" in refused.value.next_step
        assert not settings.state.exists()

        async def with_key() -> None:
            async with key_store(StateFolder(settings.state), settings.database_url) as store:
                await store.add(key()[0])
            await _refuse_strangers(settings)

        asyncio.run(with_key())

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
    def test_loopback_needs_none(self, tmp_path: Path, host: str) -> None:
        asyncio.run(_refuse_strangers(settings_for(tmp_path / "state", host=host)))
        assert not (tmp_path / "state").exists()


class TestNeeds:
    def test_an_address_that_no_table_knows_is_for_operators(self) -> None:
        need = need_of("GET", "/v1/secrets/of/all")
        need.check(LOCAL)
        for who in (
            replace(LOCAL, tenant="acme"),
            replace(LOCAL, groups=frozenset()),
            replace(LOCAL, scopes=frozenset()),
        ):
            with pytest.raises(Exception, match="nothing at this address"):
                need.check(who)

    @pytest.mark.parametrize(
        ("path", "known"),
        [
            ("/v1/documents/x", True),
            ("/v1/documents/x/content", True),
            ("/v1/documents/x/y/content", False),
            ("/v1/documents/", False),
            ("/web/vendor/x.js", True),
            ("/v1/ask/", False),
            ("//v1/documents", False),
        ],
    )
    def test_places_hold_one_name(self, path: str, known: bool) -> None:
        assert (need_of("GET", path).special != "unknown") == known

    def test_only_files_and_health_are_public(self) -> None:
        public = {path for (_, path), need in NEEDS.items() if need.special == "public"}
        assert public == {"/", "/sources/{source_id}", "/web/{name:path}", "/health/live", "/health/ready"}

    @pytest.mark.parametrize(
        ("client", "header", "here"),
        [
            ("127.0.0.1", b"host", True),
            ("::1", b"host", True),
            ("10.0.0.1", b"host", False),
            ("testclient", b"host", False),
            ("127.0.0.1", b"x-forwarded-for", False),
            ("127.0.0.1", b"forwarded", False),
            ("127.0.0.1", b"via", False),
        ],
    )
    def test_who_is_on_this_machine(self, client: str, header: bytes, here: bool) -> None:
        assert from_here({"client": (client, 1), "headers": [(header, b"x")]}) == here
        assert not from_here({"headers": []})


class TestCommand:
    def test_made_listed_and_revoked(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        settings = settings_for(tmp_path / "state")
        wanted = Wanted("reports", ["ask,ingest"], "acme", ["hr, sales"], ["a"], "90d")
        assert asyncio.run(create(settings, wanted, as_json=False)) == 0
        shown = capsys.readouterr()
        secret = shown.out.strip()
        assert secret.startswith("grd_")
        assert secret not in shown.err
        assert asyncio.run(list_keys(settings, as_json=True)) == 0
        listed = capsys.readouterr().out
        assert secret not in listed
        assert digest(secret) not in listed
        (found,) = re.findall(r'"id":"(key_[0-9a-f]{24})"', listed)
        for told in ('"scopes":["ask","ingest"]', '"groups":["hr","sales"]', '"collections":["a"]', '"state":"active"'):
            assert told in listed
        assert asyncio.run(revoke(settings, found, as_json=True)) == 0
        asyncio.run(list_keys(settings, as_json=True))
        assert '"state":"revoked"' in capsys.readouterr().out

    def test_also_while_somebody_else_holds_the_state_folder(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path / "state")
        asyncio.run(create(settings, Wanted("a"), as_json=True))
        with StateFolder(settings.state).owned("http://127.0.0.1:1"):
            assert asyncio.run(create(settings, Wanted("b"), as_json=True)) == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            {"scopes": ["ask,root"]},
            {"scopes": [","]},
            {"tenant": "A B"},
            {"tenant": ""},
            {"groups": ["two words"]},
            {"collections": ["No"]},
            {"expires": "yesterday"},
            {"expires": "2020-01-01"},
            {"expires": "999999y"},
            {"name": "a\x07"},
        ],
    )
    def test_what_cannot_be_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationFailed):
            _made(Wanted(**{"name": "a", **wrong}))

    def test_what_is_not_said_is_little(self) -> None:
        made, _ = _made(Wanted("a"))
        assert (made.tenant, made.scopes, made.groups, made.collections) == ("default", {"ask"}, frozenset(), None)
        assert _made(Wanted("a", groups=["*"]))[0].groups is None

    def test_a_bearer_is_refused_by_id_and_nobody_else_is_made_up(self, tmp_path: Path) -> None:
        settings = settings_for(tmp_path / "state")
        bearer = "oidc_" + "0" * 24
        assert asyncio.run(revoke(settings, bearer, as_json=True)) == 0
        with pytest.raises(KeyNotFound):
            asyncio.run(revoke(settings, "key_" + "0" * 24, as_json=True))

        async def kept() -> list[Key]:
            async with key_store(StateFolder(settings.state), settings.database_url) as store:
                return await store.all()

        assert [(made.id, made.digest) for made in asyncio.run(kept())] == [(bearer, None)]
