"""What can go wrong with a lab, as errors that say what to do next."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class LabUnsupported(StellaError):
    """This machine cannot run the kind of lab that was asked for: no root, a missing program, no kernel support."""

    code = "SYS_LAB_UNSUPPORTED"


class LabNotStarted(StellaError):
    """A part of the lab did not come up; everything that was started has been removed again."""

    code = "SYS_LAB_NOT_STARTED"


class LabNotRemoved(StellaError):
    """Something of a lab is still there after its removal: a process that does not die, a folder that is still mounted."""

    code = "SYS_LAB_NOT_REMOVED"
    retryable = True
