"""The database: an engine for SQLite or Postgres, and the unit of work that repositories run in.

Each feature declares its own tables; the migrations are in `alembic/`. Only this package creates SQLAlchemy engines.
"""
