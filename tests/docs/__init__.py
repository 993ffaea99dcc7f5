"""The documentation is true: its snippets run, its tables are complete, its links lead somewhere."""
