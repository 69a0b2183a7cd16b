"""How many connections this process may hold."""

import resource
from contextlib import suppress

_MOST = 2**20  # beyond what one process serves; some systems name a thousand times as many


def raise_limit() -> None:
    """As many descriptors as the system lets this process have: each open connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    with suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (max(soft, wanted) if soft != resource.RLIM_INFINITY else soft, hard)
        )
