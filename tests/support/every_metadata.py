"""Imports every module that declares tables, so that the one shared metadata is complete, whatever a test uses otherwise."""

from __future__ import annotations

import importlib
import pkgutil

import stella_pipelines
from stella_pipelines.store.metadata import metadata

for found in pkgutil.walk_packages(stella_pipelines.__path__, "stella_pipelines."):
    if found.name.endswith("tables") and ".migrations." not in found.name:
        importlib.import_module(found.name)

EVERY_METADATA = metadata
