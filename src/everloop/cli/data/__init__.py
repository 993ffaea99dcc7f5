"""``everloop data …``: importing a module of this package adds its commands to the group."""

from . import diff as diff
from . import encryption as encryption
from . import lineage as lineage
from . import refs as refs
from . import upkeep as upkeep
from . import versions as versions
from .group import app as app
