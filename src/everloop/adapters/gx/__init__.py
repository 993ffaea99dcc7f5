"""Great Expectations: the one package that imports ``great_expectations``, which takes seconds."""
