"""What can stand in the way of an import, besides what is wrong with the export itself (`exports/errors.py`)."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class ImportOfOwn(StellaError):
    """The export was made in this very installation, which has all of it."""

    code = "EVID_IMPORT_OWN"


class ImportConflicts(StellaError):
    """The export is genuine, but contradicts what was imported from the same installation before: one of the two histories was rewritten."""

    code = "EVID_IMPORT_CONFLICTS"


class ImportMissing(StellaError):
    """No export with this digest was imported."""

    code = "RES_IMPORT_MISSING"


class ImportedDamaged(StellaError):
    """What was imported is not what was verified then: the database was damaged or edited."""

    code = "EVID_IMPORTED_DAMAGED"
