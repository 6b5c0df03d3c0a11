"""Structured logs: one JSON object per line, on standard error or in a rotated file; readable text at a terminal.

Log lines contain no plaintext, secrets or tokens: callers log ids and codes, and every message, also from a library,
passes through `_redact`. The operator's log collector reads the lines.
"""

import logging
import logging.handlers
import re
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import structlog

from portal.core.prefixed_tokens import PREFIXES

_MAX_BYTES = 64 << 20
_CHATTY = (
    *("aiobotocore", "aiohttp", "alembic", "asyncio", "azure", "botocore", "google", "grpc", "httpcore", "httpx"),
    *("requests", "sqlalchemy", "urllib3"),
)
"""Libraries whose lines below a warning contain statements, headers, URLs, keys."""
_KEPT = 10
_REFRESH = r"[0-9a-f]{32}\.[\w-]{16,}(?:\.[\w-]*)?"  # a session, random letters, a code
_OWN = rf"(?:{'|'.join(PREFIXES)})[\w-]{{16,}}|{_REFRESH}"
_VAULT = r"\b(?:hv[sbr]|s)\.[\w-]{20,}"
_TOKEN = re.compile(rf"{_VAULT}|eyJ[\w-]{{5,}}\.[\w-]+\.[\w-]*|{_OWN}|otpauth://\S+")
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"']+|://[^/\s:@]*:[^@\s/]+@")
_MARK = re.compile(r"[._:\s]")  # each of these forms has one; most of what is logged has none


def configure(level: int = logging.INFO, file: Path | None = None) -> None:
    """Send every logger of the process through one JSON renderer. Call it once per process.

    `file` is rotated at 64 MiB; ten old files are stored. Without it, lines go to standard error.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Local variables may hold plaintext or secrets, so tracebacks are logged without them.
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        _redact,
    ]
    render = _for_people() if file is None and sys.stderr.isatty() else structlog.processors.JSONRenderer()
    handler = _handler(file)
    handler.setFormatter(
        _Formatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    structlog.configure(
        processors=[*shared, render],
        logger_factory=_Logger,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _Line(logging.LogRecord):
    """A line of ours, rendered already."""


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders what libraries log; our own lines come rendered."""

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg) if isinstance(record, _Line) else super().format(record)


class _Logger:
    """Writes the lines of one module. It passes the standard library by, which would look for the line of code that
    logs and render everything again: that took longer than all the rest of a line.
    """

    def __init__(self, name: str = "portal") -> None:
        self.name = name

    def info(self, line: str) -> None:
        for handler in logging.root.handlers:
            handler.handle(_Line(self.name, logging.INFO, "", 0, line, (), None))

    debug = warning = error = critical = info  # the rendered line names its own level


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one module; pass `__name__`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def bound(**values: str) -> AbstractContextManager[None]:
    """Within the block, every log line of this task and its child tasks carries `values`."""
    return structlog.contextvars.bound_contextvars(**values)


def silence(name: str, kind: type[BaseException]) -> None:
    """Drop log lines of the logger `name` for exceptions of `kind`: those are already logged elsewhere."""
    logging.getLogger(name).addFilter(lambda line: not (line.exc_info and isinstance(line.exc_info[1], kind)))


def _for_people() -> Any:
    """The renderer for a terminal, where no collector reads. It escapes control sequences, in a path for example."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback, repr_native_str=True)


def _handler(file: Path | None) -> logging.Handler:
    if file is None:
        return logging.StreamHandler(sys.stderr)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return logging.handlers.RotatingFileHandler(file, maxBytes=_MAX_BYTES, backupCount=_KEPT, encoding="utf-8")


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        if _MARK.search(value) is None:
            return value
        return _CREDENTIAL.sub("***", _TOKEN.sub("***", value))
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value if value is None or isinstance(value, int | float) else _clean(repr(value))  # as JSON would show it
