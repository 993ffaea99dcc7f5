"""DVC: the one package that imports the ``dvc`` library and runs its command line.

This module runs before any other of the package and therefore is the place that settles how DVC behaves in
our processes and in those that we start.
"""

from __future__ import annotations

import os

BEHAVIOUR = {"DVC_NO_ANALYTICS": "1", "DVC_STUDIO_OFFLINE": "1"}

for _name, _value in BEHAVIOUR.items():
    os.environ.setdefault(_name, _value)
