"""Logs: JSON lines to stderr, coloured text on a terminal, uvicorn's through the same formatter.

No question, document or answer text and no secret is logged; `log_content` adds the question alone. Whatever a library or a
failure puts into a line, secrets are taken out of it again.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, Literal

import structlog

_QUIET = ("uvicorn.access", "httpx", "httpx2", "httpcore2", "openai", "asyncio", "dbos", "python_multipart", "alembic")


MASK = "********"
_KEYS = r"grd_[A-Za-z0-9_-]{43}"  # keys of ours, which no setting holds


def configure(log_format: Literal["auto", "json", "text"], level: str, secrets: Iterable[str] = ()) -> None:
    """Once, at the start of a command. `secrets` never stand in a line."""
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    # The console's own choice prints the local variables of every frame, and with them questions and documents.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = console if text else structlog.processors.JSONRenderer()
    finish: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not text:
        finish.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    processors = [*finish, _masked(renderer, secrets)]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _masked(renderer: structlog.typing.Processor, secrets: Iterable[str]) -> structlog.typing.Processor:
    """The renderer, whose lines hold no secret, as it is or as JSON writes it."""
    spellings = {text for secret in secrets for text in (secret, json.dumps(secret)[1:-1])}
    longest_first = sorted(spellings, key=len, reverse=True)
    pattern = re.compile("|".join([*map(re.escape, longest_first), _KEYS]))

    def render(logger: Any, name: str, event: structlog.typing.EventDict) -> str:
        return pattern.sub(MASK, str(renderer(logger, name, event)))

    return render
