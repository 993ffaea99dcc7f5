"""``everloop data …``: importing a module of this package adds its commands to the group."""

from . import versions as versions
from .group import app as app
