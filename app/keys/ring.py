"""All keys, in memory, half a second behind the catalog at most: so no request reads them, and a revoked one ends soon.

Whatever process changes a key writes one row that counts up; looking for rows behind the last one that was seen is one
lookup in an index. Keys are looked at when a request comes and, while streams are open, twice a second.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from weakref import WeakSet

from app.errors import InvalidApiKey, KeyRevoked
from app.keys.model import Key, Principal, digest
from app.keys.ports import KeyStore
from app.polled import Polled
from ingest.errors import GroundedError

_FRESH_S = 0.4
_UNSEEN_S = 2.0  # for so long open streams go on while the catalog cannot be read
End = asyncio.Future[GroundedError]


class KeyRing:
    """Knows every key, and whom to tell when one ends."""

    def __init__(
        self,
        store: KeyStore,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._now = now
        self._seen = 0
        self._polled = Polled(self._look, _FRESH_S, clock)
        self._by_id: dict[str, Key] = {}
        self._by_digest: dict[str, Key] = {}
        self._watched: dict[Principal, WeakSet[End]] = {}
        self._watching: asyncio.Task[None] | None = None

    @property
    def empty(self) -> bool:
        """Whether there never was a key."""
        return not self._by_id

    async def fresh(self) -> None:
        """Know what was changed up to half a second ago. Raises CatalogUnavailable."""
        await self._polled.fresh()

    async def _look(self) -> None:
        self._seen, changed = await self.store.since(self._seen)
        for key in changed:
            self._by_id[key.id] = key
            if key.digest is not None:
                self._by_digest[key.digest] = key

    def principal(self, secret: str) -> Principal:
        """Whose key it is, as of the last look. Raises InvalidApiKey, KeyRevoked."""
        mine = digest(secret)
        key = self._by_digest.get(mine)
        if key is None or key.digest is None or not hmac.compare_digest(key.digest, mine):
            raise InvalidApiKey("This service knows no such key.")
        if key.revoked_at is not None:
            raise KeyRevoked("This key was revoked.")
        if key.expires_at is not None and key.expires_at <= self._now():
            raise InvalidApiKey("This key has expired.", "Ask the operator for a new key.")
        return key.principal

    def ended(self, who: Principal) -> GroundedError | None:
        """Why it may no longer do what it began, as of the last look; None while it may."""
        key = self._by_id.get(who.key_id) if who.key_id is not None else None
        if key is not None and key.revoked_at is not None:
            return KeyRevoked("The key was revoked.")
        if key is None and who.key_id is not None and who.key_id.startswith("key_"):
            return KeyRevoked("The key is no longer known.")
        until = key.expires_at if key is not None else who.until
        return KeyRevoked("The key or token has expired.") if until is not None and until <= self._now() else None

    async def check(self, who: Principal) -> None:
        """For work that goes on without a request. Raises KeyRevoked, CatalogUnavailable."""
        await self.fresh()
        if (error := self.ended(who)) is not None:
            raise error

    def end_of(self, who: Principal) -> End | None:
        """Done with the reason when the principal may go on no longer; None where that never happens. It is watched for as
        long as somebody holds it."""
        if who.key_id is None:
            return None
        end: End = asyncio.get_running_loop().create_future()
        self._watched.setdefault(who, WeakSet()).add(end)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        return end

    async def close(self) -> None:
        """Watch no longer."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while self._watched:
            await asyncio.sleep(_FRESH_S)
            failure: GroundedError | None = None
            try:
                await self.fresh()
            except GroundedError as error:
                failure = error if self._polled.age_s > _UNSEEN_S else None
            for who, ends in list(self._watched.items()):
                reason = failure or self.ended(who)
                for end in list(ends) if reason is not None else ():
                    with suppress(asyncio.InvalidStateError):
                        end.set_result(reason)  # type: ignore[arg-type]
                if reason is not None or not ends:
                    del self._watched[who]
