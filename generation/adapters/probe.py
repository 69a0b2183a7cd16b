"""Whether an endpoint is there and answers: the models that it offers, and one token of the one that is wanted."""

import time
from dataclasses import dataclass
from typing import Any

import httpx2

from generation.errors import GenerationError, UpstreamMisconfigured, UpstreamTimeout, UpstreamUnavailable

_SHOWN = 5  # models; an endpoint may offer hundreds


@dataclass(frozen=True, slots=True)
class Probe:
    """The models that the endpoint says it has, none where it does not say; milliseconds that one token took."""

    offered: tuple[str, ...]
    ms: float


async def probe(base_url: str, model: str, api_key: str, timeout_s: float) -> Probe:
    """Costs one token. Raises UpstreamUnavailable, UpstreamTimeout, and UpstreamMisconfigured for a key or a model that is
    refused; none of their texts holds what the endpoint said."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    url = base_url.rstrip("/")
    try:
        async with httpx2.AsyncClient(timeout=timeout_s, headers=headers, follow_redirects=False) as client:
            offered = _offered(await client.get(f"{url}/models"))
            start = time.perf_counter()
            reply = await client.post(f"{url}/chat/completions", json=_one_token(url, model))
            ms = (time.perf_counter() - start) * 1e3
    except httpx2.TimeoutException:
        raise UpstreamTimeout(f"no answer within {timeout_s:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise UpstreamUnavailable(f"cannot be reached ({type(error).__name__})") from None
    if reply.status_code != httpx2.codes.OK:
        raise _refused(reply.status_code, offered)
    return Probe(offered, ms)


def _one_token(url: str, model: str) -> dict[str, Any]:
    limit = "max_completion_tokens" if "api.openai.com" in url else "max_tokens"
    return {"model": model, "messages": [{"role": "user", "content": "Say yes."}], limit: 1}


def _offered(reply: httpx2.Response) -> tuple[str, ...]:
    """An endpoint that lists no models may still answer."""
    if reply.status_code != httpx2.codes.OK:
        return ()
    try:
        return tuple(str(entry["id"]) for entry in reply.json()["data"])
    except (ValueError, TypeError, KeyError):
        return ()


def _refused(status: int, offered: tuple[str, ...]) -> GenerationError:
    if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        return UpstreamMisconfigured(f"refuses the key (status {status})", "Correct api_key or api_key_file.")
    if status == httpx2.codes.NOT_FOUND:
        has = f"; it offers {', '.join(offered[:_SHOWN])}" if offered else ""
        return UpstreamMisconfigured(f"does not know the model{has}", "Correct model, or base_url.")
    return UpstreamUnavailable(f"answers with status {status}", "See the endpoint's own log.")
