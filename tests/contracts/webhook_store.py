"""What every webhook store must do. Inherit, and give a `webhooks`, the `store` of batches and the `jobs` beside it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from app.batch import BatchStore
from app.jobs import JobStore, Told
from app.webhooks import Webhook, WebhookStore
from tests.contracts.batch_store import URL, run, submitted

LATER = datetime.now(UTC) + timedelta(days=1)
TOLD = Told("webhook_failed", "It answered with status 500.", "Mend the receiver.")


def of(webhooks: WebhookStore, job_id: str) -> Webhook:
    found = run(webhooks.of_job(job_id))
    assert found is not None
    return found


class WebhookStoreContract:
    """A webhook is kept with its job, due when that has ended, and never lost on the way."""

    def test_it_is_due_when_its_job_has_ended(self, webhooks: WebhookStore, store: BatchStore, jobs: JobStore) -> None:
        assert not run(webhooks.waits())
        job = submitted(store, url=URL)
        submitted(store)
        assert run(webhooks.waits())
        assert run(webhooks.due(LATER, 9)) == []
        run(jobs.begin(job.id))
        assert run(webhooks.due(LATER, 9)) == []
        run(jobs.finish(job.id, "failed", TOLD))
        ((webhook, ended),) = run(webhooks.due(LATER, 9))
        assert (webhook.url, webhook.state, webhook.attempts, webhook.job_id) == (URL, "waiting", 0, job.id)
        assert (ended.id, ended.status, ended.error) == (job.id, "failed", TOLD)
        assert run(webhooks.due(datetime.now(UTC) - timedelta(days=1), 9)) == []

    def test_one_that_failed_is_due_again_at_its_time(
        self, webhooks: WebhookStore, store: BatchStore, jobs: JobStore
    ) -> None:
        job = submitted(store, url=URL)
        run(jobs.cancel(job.id))
        webhook = of(webhooks, job.id)
        again = replace(webhook, attempts=1, due_at=LATER, status=500, error=TOLD)
        run(webhooks.note(again))
        assert of(webhooks, job.id) == again
        assert run(webhooks.due(LATER - timedelta(seconds=1), 9)) == []
        assert len(run(webhooks.due(LATER, 9))) == 1
        run(webhooks.note(replace(again, state="delivered", status=200, error=None, ended_at=LATER)))
        assert run(webhooks.due(LATER, 9)) == []
        assert not run(webhooks.waits())
        run(webhooks.note(again))  # behind the end nothing changes
        assert of(webhooks, job.id).state == "delivered"
        assert run(webhooks.last_status(URL)) == 200
        assert run(webhooks.last_status("https://hooks.example/other")) is None

    def test_dead_letters_are_listed_and_revived(
        self, webhooks: WebhookStore, store: BatchStore, jobs: JobStore
    ) -> None:
        made = [submitted(store, url=URL) for _ in range(3)]
        for job in made:
            run(jobs.cancel(job.id))
            run(webhooks.note(replace(of(webhooks, job.id), state="dead", attempts=8, error=TOLD, ended_at=LATER)))
        first = run(webhooks.dead(2, None))
        rest = run(webhooks.dead(2, first[-1].id))
        assert [webhook.job_id for webhook in first + rest] == [job.id for job in reversed(made)]
        again = run(webhooks.revive(first[0].id, LATER))
        assert again is not None
        assert (again.state, again.attempts, again.due_at, again.ended_at) == ("waiting", 0, LATER, None)
        assert len(run(webhooks.dead(9, None))) == 2
        assert run(webhooks.revive(first[0].id, LATER)) is None
        assert run(webhooks.revive("msg_none", LATER)) is None

    def test_a_receiver_that_is_gone_gets_none_of_those_that_wait(
        self, webhooks: WebhookStore, store: BatchStore, jobs: JobStore
    ) -> None:
        gone, also, other = submitted(store, url=URL), submitted(store, url=URL), submitted(store, url=f"{URL}/b")
        for job in (gone, also, other):
            run(jobs.cancel(job.id))
        run(webhooks.note(replace(of(webhooks, gone.id), state="dead", status=410, error=TOLD, ended_at=LATER)))
        run(webhooks.give_up(URL, TOLD, LATER))
        assert [of(webhooks, job.id).state for job in (gone, also, other)] == ["dead", "dead", "waiting"]
        assert run(webhooks.last_status(URL)) == 410
