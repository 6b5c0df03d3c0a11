"""The database: an engine for either dialect and the unit of work every repository is handed.

Tables belong to the rooms that own them; `alembic/` holds the migrations. The only door to SQLAlchemy's engines.
"""
