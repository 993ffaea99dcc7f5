"""The corridor: nouns, ids, errors and the clock. Standard library only, no I/O."""
