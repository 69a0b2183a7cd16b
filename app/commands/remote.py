"""Clients of a running service: each sends the key of GROUNDED_API_KEY, to this service and nobody else."""

import os
from pathlib import Path

import httpx2

from app.secret_files import secret_in
from app.settings import API_KEY, ConfigurationError


def connected(url: str, timeout: httpx2.Timeout | float) -> httpx2.AsyncClient:
    """A client of the service at that address. Raises ConfigurationError, httpx2.InvalidURL."""
    return httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False, headers=credentials())


def credentials() -> dict[str, str]:
    """The header that says who asks; nothing where no key is set. Raises ConfigurationError."""
    key = os.environ.get(API_KEY, "").strip()
    path = os.environ.get(f"{API_KEY}_FILE")
    if not key and path:
        try:
            key = secret_in(Path(path))
        except OSError as error:
            raise ConfigurationError(f"{API_KEY}_FILE cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{API_KEY}_FILE holds no key.") from error
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{API_KEY} is not a key.", "Set it to what grounded keys create has shown.")
    return {"authorization": f"Bearer {key}"} if key else {}
