"""Which answers may be given again without being made again."""

from generation.events import Finished


def may_be_cached(end: Finished) -> bool:
    """Whether an answer that ended so may be kept for others who ask the same: only one that is whole and passed its checks.
    Never one that was cut, filtered or masked, that is an abstention, that lacked a part of the service, or of which a
    sentence was left out: made again, it may be better."""
    checked = end.verification
    return (
        end.finish_reason == "stop"
        and end.abstention is None
        and end.filter is None
        and not end.degraded
        and checked is not None
        and checked.status == "passed"
        and checked.dropped == 0
    )
