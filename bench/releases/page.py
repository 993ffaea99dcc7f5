"""The words about the tables."""

PAGE = """# Strategies of releasing, side by side

One run of `python -m bench.releases {arguments}` on {cores} cores: {releases:,} simulated releases of
each scenario by each strategy.
"""
NOTES = ""
