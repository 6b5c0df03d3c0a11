"""Files at the top of the repository that are packaged inside the wheel: the migrations and `.env.example`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_REPOSITORY = _PACKAGE.parent.parent


def migrations() -> Path:
    """The Alembic folder: `migrations` inside the installed package, else `alembic/` of the checkout."""
    return _first(_PACKAGE / "migrations", _REPOSITORY / "alembic")


def env_example() -> Path:
    """The template file with every setting and its explanation, from the installed package or the checkout."""
    return _first(_PACKAGE / "env.example", _REPOSITORY / ".env.example")


def _first(*candidates: Path) -> Path:
    return next(path for path in candidates if path.exists())
