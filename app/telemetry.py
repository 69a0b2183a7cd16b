"""Logs: JSON lines to stderr, coloured text on a terminal, uvicorn's through the same formatter.

No question, document or answer text and no secret is logged; `log_content` adds the question alone.
"""

import logging
import sys
from typing import Literal

import structlog

_QUIET = ("uvicorn.access", "httpx", "httpx2", "httpcore2", "openai", "asyncio", "dbos", "python_multipart", "alembic")


def configure(log_format: Literal["auto", "json", "text"], level: str) -> None:
    """Once, at the start of a command."""
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
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*finish, renderer], foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
