"""Files that live at the top of the repository and travel inside the wheel: the migrations and `.env.example`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_REPOSITORY = _PACKAGE.parent.parent


def migrations() -> Path:
    """The Alembic folder: inside the installed package, else the checkout's `alembic/`."""
    return _first(_PACKAGE / "migrations", _REPOSITORY / "alembic")


def env_example() -> Path:
    """The commented template of every setting."""
    return _first(_PACKAGE / "env.example", _REPOSITORY / ".env.example")


def _first(*candidates: Path) -> Path:
    return next(path for path in candidates if path.exists())
