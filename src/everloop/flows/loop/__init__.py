"""The loop: what calls for a retraining is noticed, considered, done step by step, and written down."""

from . import advancing, asking, considering, gathering, lookout, noticing, pausing, showing, working

__all__ = [
    "advancing",
    "asking",
    "considering",
    "gathering",
    "lookout",
    "noticing",
    "pausing",
    "showing",
    "working",
]
