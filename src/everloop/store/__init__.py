"""SQL: tables, queries, migrations. One implementation for SQLite and PostgreSQL, scoped to a tenant."""
