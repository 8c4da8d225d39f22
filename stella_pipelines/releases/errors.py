"""What can be wrong with a release, one class per stable code."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class ReleaseMissing(StellaError):
    """No release has this name and version, or this identity."""

    code = "RES_RELEASE_MISSING"


class ReleaseInvalid(StellaError):
    """A release cannot be made from this input: a name, a version or the number of components is not allowed."""

    code = "VAL_RELEASE_INVALID"


class ReleaseExists(StellaError):
    """The name and version are taken by a release with other content."""

    code = "REL_EXISTS"


class ReleaseFinalized(StellaError):
    """A finalized release was to be changed or discarded; it never is."""

    code = "REL_FINALIZED"


class ComponentUndeclared(StellaError):
    """An image was given for a component that the applied estate does not declare, so no target would ever run it."""

    code = "REL_COMPONENT_UNDECLARED"


class LifecycleRefused(StellaError):
    """A release's lifecycle only goes forward: draft, finalized, deprecated, archived."""

    code = "REL_LIFECYCLE"


class TagMoved(StellaError):
    """A tag that a draft was made from points to another image now."""

    code = "REL_TAG_MOVED"


class TagTaken(StellaError):
    """A push would move a tag in the registry away from something else."""

    code = "REL_TAG_TAKEN"


class ReleaseManifestInvalid(StellaError):
    """Content that stands where a release manifest must is none, or does not say what its release says."""

    code = "REL_MANIFEST_INVALID"


class ReportInvalid(StellaError):
    """A security report is not JSON, or larger than the limit."""

    code = "REL_REPORT_INVALID"


class ReportUnknown(StellaError):
    """A security report is JSON, but none of the kinds that are understood."""

    code = "REL_REPORT_UNKNOWN"


class PacketNotAboutSubject(StellaError):
    """A packet was to be attached to, or stands attached to, a release or image that it does not name among its subjects."""

    code = "REL_PACKET_NOT_ABOUT"


class AttachRefused(StellaError):
    """Packets cannot be attached here: the release is not in that repository, or it was not said to which one, or there are too many."""

    code = "REL_ATTACH_REFUSED"
