"""Upkeep of the store: verify, repair, collect, remove."""

from .content.collecting import collect as collect
from .content.removing import remove as remove
from .content.removing import remove_old as remove_old
from .content.repairing import repair as repair
from .content.verifying import verify as verify
