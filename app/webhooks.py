"""Webhooks: who asked to be told is told that a job is over, until they have heard it or it is given up.

A webhook is kept in the commit that keeps its job, and it is due once that job has ended; so no crash in between loses it.
It is signed by the Standard Webhooks scheme. Its body is made of the job at its end, so it is the same in every attempt, as
its id is: receivers tell a repetition by that.
"""

import asyncio
import base64
import hashlib
import hmac
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any, Literal, Protocol

import orjson
import structlog

from app.addresses import Target, allowed, target_of
from app.errors import WebhookNotAllowed, WebhookNotFound, WebhookOff
from app.jobs import Job, Told
from app.keys.model import Principal
from ingest.errors import GroundedError

WebhookState = Literal["waiting", "delivered", "dead"]
GONE = 410
_LOOK_S = 1.0
_AT_ONCE = 8
_SPREAD = 0.2
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Webhook:
    """One message to one receiver. `status` is what the receiver said last; `error` why the last attempt failed."""

    id: str
    job_id: str
    url: str
    state: WebhookState
    attempts: int
    due_at: datetime
    status: int | None = None
    error: Told | None = None
    ended_at: datetime | None = None


class WebhookStore(Protocol):
    """Where webhooks are kept. Every call is one transaction. They come with their jobs, and go with them."""

    async def due(self, now: datetime, limit: int) -> list[tuple[Webhook, Job]]:
        """Those that wait, whose time has come and whose job has ended, with that job."""
        ...

    async def waits(self) -> bool:
        """Whether any waits, due or not."""
        ...

    async def note(self, webhook: Webhook) -> None:
        """How it stands after an attempt."""
        ...

    async def give_up(self, url: str, error: Told, now: datetime) -> None:
        """All that wait for this receiver are dead."""
        ...

    async def of_job(self, job_id: str) -> Webhook | None:
        """The webhook of the job, if it has one."""
        ...

    async def dead(self, limit: int, after: str | None, who: Principal | None = None) -> list[Webhook]:
        """The dead letters of jobs that `who` may see, the newest first, starting behind `after`; None sees all."""
        ...

    async def revive(self, webhook_id: str, now: datetime, who: Principal | None = None) -> Webhook | None:
        """A dead letter waits again, from its first attempt on. None when there is no such dead letter to be seen."""
        ...

    async def last_status(self, url: str) -> int | None:
        """What this receiver said last of those that came to their end."""
        ...


class Sender(Protocol):
    """Sends one request to a receiver, and to nobody whom its address only leads to."""

    async def post(self, target: Target, body: bytes, headers: dict[str, str]) -> int:
        """The status of the reply. Raises WebhookFailed when there was none, WebhookTargetInside when it leads inside."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may be told, with which secret, and the waits between attempts in seconds."""

    allow: tuple[str, ...]
    secret: bytes
    retries_s: Sequence[float]


class Webhooks:
    """Delivers what is due, for as long as the service runs."""

    def __init__(
        self,
        store: WebhookStore,
        sender: Sender,
        policy: Policy,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` gives numbers from 0 to 1, which spread the waits."""
        self.store = store
        self._sender = sender
        self._policy = policy
        self._clock = clock
        self._draw = draw
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver. Again, it does nothing."""
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Cut off what is being sent; it is sent again after the next start."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def check(self, url: str) -> None:
        """Raises WebhookNotAllowed where the operator has not named it, WebhookOff where it wants no more."""
        if not allowed(url, self._policy.allow):
            raise WebhookNotAllowed("webhook: is not an address that webhooks may go to here.", param="webhook")
        if await self.store.last_status(url) == GONE:
            raise WebhookOff("The receiver of this webhook has answered that it is gone.", param="webhook")

    def wake(self) -> None:
        """One more waits."""
        self.start()
        self._wake.set()

    async def _run(self) -> None:
        """Deliver, for ever. While none waits nothing is looked at."""
        while True:
            self._wake.clear()
            try:
                waits = await self.deliver_due()
            except GroundedError as error:
                _log.warning("webhooks.not_watched", cause=error.message)
                waits = True
            except Exception:  # noqa: BLE001  a bug in one look must not end all looks to come
                _log.exception("webhooks.broken")
                waits = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_S if waits else None)

    async def deliver_due(self) -> bool:
        """One attempt at each that is due; whether any waits still."""
        due = await self.store.due(self._clock(), _AT_ONCE)
        await asyncio.gather(*(self._deliver(webhook, job) for webhook, job in due))
        return await self.store.waits()

    async def revive(self, webhook_id: str, who: Principal | None = None) -> Webhook:
        """Send a dead letter again; a receiver that takes it is on again. Raises WebhookNotFound."""
        found = await self.store.revive(webhook_id, self._clock(), who)
        if found is None:
            raise WebhookNotFound("There is no such dead letter.")
        self.wake()
        return found

    async def _deliver(self, webhook: Webhook, job: Job) -> None:
        status, error = await self._attempt(webhook, job)
        ended = self._after(webhook, status, error)
        await self.store.note(ended)
        if status == GONE and error is not None:
            await self.store.give_up(webhook.url, error, self._clock())
        _log.info(
            "webhook.sent", id=webhook.id, job_id=job.id, state=ended.state, status=status, attempts=ended.attempts
        )

    async def _attempt(self, webhook: Webhook, job: Job) -> tuple[int | None, Told | None]:
        """The receiver's status, and why it is not one of success. The list is read again: it may be another one by now."""
        target = target_of(webhook.url)
        if target is None or not allowed(webhook.url, self._policy.allow):
            return None, Told(WebhookNotAllowed.code, "The address is no longer allowed.", WebhookNotAllowed.next_step)
        body = body_of(job)
        headers = {"content-type": "application/json", "user-agent": "grounded-webhooks"}
        headers |= signature_headers(self._policy.secret, webhook.id, self._clock(), body)
        try:
            status = await self._sender.post(target, body, headers)
        except GroundedError as failure:
            return None, Told(failure.code, failure.message, failure.next_step)
        if 200 <= status < 300:
            return status, None
        return status, Told("webhook_failed", f"The receiver answered with status {status}.", "Mend the receiver.")

    def _after(self, webhook: Webhook, status: int | None, error: Told | None) -> Webhook:
        now, attempts = self._clock(), webhook.attempts + 1
        waits = self._policy.retries_s
        if error is not None and attempts <= len(waits) and status != GONE:
            spread = 1 + _SPREAD * (2 * self._draw() - 1)
            due = now + timedelta(seconds=waits[attempts - 1] * spread)
            return Webhook(webhook.id, webhook.job_id, webhook.url, "waiting", attempts, due, status, error)
        state: WebhookState = "delivered" if error is None else "dead"
        return Webhook(webhook.id, webhook.job_id, webhook.url, state, attempts, now, status, error, now)


def new_webhook(job_id: str, url: str) -> Webhook:
    """One that nobody has tried to deliver."""
    return Webhook(f"msg_{token_hex(12)}", job_id, url, "waiting", 0, datetime.now(UTC))


def body_of(job: Job) -> bytes:
    """What is told of a job at its end: how it ended and numbers, no text of question, answer or document."""
    data: dict[str, Any] = {"job_id": job.id, "status": job.status, "details": dict(job.details)}
    data["error"] = {"code": job.error.code, "message": job.error.message} if job.error else None
    told = {"type": f"{job.type}.{job.status}", "timestamp": job.finished_at, "data": data}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)


def signature_headers(secret: bytes, webhook_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """HMAC-SHA256 over `id.timestamp.body`, as the Standard Webhooks scheme has it; the timestamp in whole seconds."""
    seconds = str(int(now.timestamp()))
    signed = hmac.new(secret, f"{webhook_id}.{seconds}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(signed).decode()}"
    return {"webhook-id": webhook_id, "webhook-timestamp": seconds, "webhook-signature": signature}
