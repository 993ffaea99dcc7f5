"""DVC both ways: its files become versions with their history, and versions become files that DVC knows."""

from .adding import Added as Added
from .adding import add as add
from .adding import initialise as initialise
from .exporting import export as export
from .importing import import_history as import_history
from .syncing import checkout as checkout
from .syncing import pull as pull
from .syncing import push as push
from .syncing import status as status
