"""The loop: what calls for a retraining is noticed, considered, done step by step, and written down."""

from . import (
    advancing,
    asking,
    considering,
    course,
    doing,
    gathering,
    lookout,
    noticing,
    pausing,
    showing,
    telling,
    working,
)

__all__ = [
    "advancing",
    "asking",
    "considering",
    "course",
    "doing",
    "gathering",
    "lookout",
    "noticing",
    "pausing",
    "showing",
    "telling",
    "working",
]
