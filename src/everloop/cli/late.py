"""What commands need when they run, loaded on first use: help and completion must not pay for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.lazy import modules

if TYPE_CHECKING:
    from importlib import metadata as metadata

    from everloop import dashboard as dashboard
    from everloop import settings as settings
    from everloop import wiring as wiring
    from everloop.adapters import courier as courier
    from everloop.adapters.blobs import keys as keys
    from everloop.adapters.blobs import rekeying as rekeying
    from everloop.adapters.group import group as group
    from everloop.adapters.group import member as member
    from everloop.adapters.group import places as places
    from everloop.api.office import opening as opening
    from everloop.api.office import working as working
    from everloop.data import conditions as conditions
    from everloop.data import names as names
    from everloop.deployment import samplesize as samplesize
    from everloop.flows import alerts as alerts
    from everloop.flows import backup as backup
    from everloop.flows import comparison as comparison
    from everloop.flows import contracts as contracts
    from everloop.flows import data as data
    from everloop.flows import delivery as delivery
    from everloop.flows import demo as demo
    from everloop.flows import documents as documents
    from everloop.flows import dvc as dvc
    from everloop.flows import files as files
    from everloop.flows import health as health
    from everloop.flows import history as history
    from everloop.flows import loop as loop
    from everloop.flows import models as models
    from everloop.flows import monitoring as monitoring
    from everloop.flows import origins as origins
    from everloop.flows import pictures as pictures
    from everloop.flows import refs as refs
    from everloop.flows import report as report
    from everloop.flows import reproduction as reproduction
    from everloop.flows import runs as runs
    from everloop.flows import serving as serving
    from everloop.flows import status as status
    from everloop.flows import turn as turn
    from everloop.flows import upkeep as upkeep
    from everloop.flows.loop import simulating as simulating
    from everloop.flows.releases import deploying as deploying
    from everloop.flows.releases import keeping as keeping
    from everloop.flows.releases import memory as memory
    from everloop.flows.releases import planning as planning
    from everloop.flows.releases import results as results
    from everloop.flows.releases import showing as showing

    from . import log as log
    from . import output as output
    from . import progress as progress
    from . import weeks as weeks
else:
    _FLOWS = (
        "alerts",
        "backup",
        "comparison",
        "contracts",
        "data",
        "delivery",
        "demo",
        "documents",
        "dvc",
        "files",
        "health",
        "history",
        "loop",
        "models",
        "monitoring",
        "origins",
        "pictures",
        "refs",
        "report",
        "reproduction",
        "runs",
        "serving",
        "status",
        "turn",
        "upkeep",
    )
    __getattr__ = modules(
        __name__,
        {
            **{name: f"everloop.flows.{name}" for name in _FLOWS},
            **{
                name: f"everloop.flows.releases.{name}"
                for name in ("deploying", "keeping", "memory", "planning", "results", "showing")
            },
            **{name: f"everloop.cli.{name}" for name in ("log", "output", "progress", "weeks")},
            "metadata": "importlib.metadata",
            "simulating": "everloop.flows.loop.simulating",
            "conditions": "everloop.data.conditions",
            "names": "everloop.data.names",
            "samplesize": "everloop.deployment.samplesize",
            "dashboard": "everloop.dashboard",
            "opening": "everloop.api.office.opening",
            "working": "everloop.api.office.working",
            "settings": "everloop.settings",
            "wiring": "everloop.wiring",
            "courier": "everloop.adapters.courier",
            **{name: f"everloop.adapters.blobs.{name}" for name in ("keys", "rekeying")},
            **{name: f"everloop.adapters.group.{name}" for name in ("group", "member", "places")},
        },
    )
