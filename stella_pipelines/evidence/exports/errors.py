"""What can be wrong with an export. Whoever verifies one gets exactly one of these, or a report; there is no third answer."""

from __future__ import annotations

from typing import ClassVar

from stella_pipelines.core.errors import StellaError


class ExportRefused(StellaError):
    """Base of every reason to refuse an export."""

    default_next_step: ClassVar[str] = "Do not trust this file; ask for a fresh export, and keep this one."

    def __init__(self, what: str, *, next_step: str | None = None) -> None:
        super().__init__(what, unchanged="Nothing of it was shown or taken over.", next_step=next_step or self.default_next_step)


class ExportTruncated(ExportRefused):
    """The file is no whole export: its end is missing, or it is something else."""

    code = "EVID_EXPORT_TRUNCATED"
    default_next_step = "Copy it again and compare the sizes; an export that is still being written ends with '.partial'."


class ExportMalformed(ExportRefused):
    """The file is a ZIP, but not in the one exact form of an export: bytes between members, an unknown method, another order."""

    code = "EVID_EXPORT_MALFORMED"
    default_next_step = "Get the file as it was written; a program that packed it anew has changed it."


class MemberEncrypted(ExportRefused):
    """A member is encrypted. Exports never are; encrypt the whole file if it must be secret on its way."""

    code = "EVID_EXPORT_ENCRYPTED"


class MemberNameUnsafe(ExportRefused):
    """A member has a name that leads out of a folder, or that no export gives."""

    code = "EVID_EXPORT_NAME"


class MemberTwice(ExportRefused):
    """Two members have the same name, so that two programs may see two contents."""

    code = "EVID_EXPORT_MEMBER_TWICE"


class MemberMissing(ExportRefused):
    """The manifest names a member that the file does not have."""

    code = "EVID_EXPORT_MEMBER_MISSING"


class MemberExtra(ExportRefused):
    """The file has a member that the manifest does not name."""

    code = "EVID_EXPORT_MEMBER_EXTRA"


class MemberChanged(ExportRefused):
    """A member has other bytes than the manifest says."""

    code = "EVID_EXPORT_MEMBER_CHANGED"


class ExportTooLarge(ExportRefused):
    """A member is, or would unpack to, more than it may be. It was not unpacked beyond that."""

    code = "EVID_EXPORT_TOO_LARGE"


class ManifestInvalid(ExportRefused):
    """The manifest is not canonical JSON in the form of an export's manifest."""

    code = "EVID_EXPORT_MANIFEST"


class VersionUnknown(ExportRefused):
    """The export has a format that this version does not know."""

    code = "EVID_EXPORT_VERSION"
    default_next_step = "Verify it with a newer version."


class ManifestUnsigned(ExportRefused):
    """The signature under the manifest does not fit it: the manifest was changed, or made by somebody without the key."""

    code = "EVID_EXPORT_SIGNATURE"


class ExportKeyUnknown(ExportRefused):
    """The export was made with keys for which none of the given ones vouches."""

    code = "EVID_EXPORT_KEY_UNKNOWN"
    default_next_step = "Give the public key of the installation that made it, from a source that you trust."


class ExportKeyRevoked(ExportRefused):
    """The export, or something in it, was signed by a key that was revoked, and nothing proves that it was signed before."""

    code = "EVID_EXPORT_KEY_REVOKED"
    default_next_step = "Ask for a fresh export, signed with the key that is in force."


class ExportOfAnother(ExportRefused):
    """The export, or something in it, is of another installation than is expected."""

    code = "EVID_EXPORT_ORIGIN"


class CountsWrong(ExportRefused):
    """The export does not hold as much as its manifest says."""

    code = "EVID_EXPORT_COUNTS"


class PacketInExportRefused(ExportRefused):
    """A packet or an audit entry in the export is not genuine, or not in its one form."""

    code = "EVID_EXPORT_PACKET"


class ExportProofInvalid(ExportRefused):
    """A proof in the export does not lead to its checkpoint."""

    code = "EVID_EXPORT_PROOF"


class SequenceGap(ExportRefused):
    """A packet of a stream is missing, or stands twice or in the wrong place."""

    code = "EVID_EXPORT_GAP"


class QuestionNotAnswered(ExportRefused):
    """The export does not reach as far as its own question: something may be missing at an end, or what is there does not belong to it."""

    code = "EVID_EXPORT_QUESTION"


class ArtifactDiffers(ExportRefused):
    """An artifact in the export does not have the digest that it is named by."""

    code = "EVID_EXPORT_BLOB"


class HistoryConflicts(ExportRefused):
    """The export's checkpoint contradicts one that was seen before: the log's history was rewritten."""

    code = "EVID_EXPORT_CONFLICTS"
    default_next_step = "Keep both: if their signatures are right, together they prove that the log's history was rewritten."


class NotComparable(ExportRefused):
    """The export has no proof from the older checkpoint that was given."""

    code = "EVID_EXPORT_NOT_COMPARABLE"
    default_next_step = "Ask for an export that is made with '--checkpoint' and your file."


class ExportUnreadable(ExportRefused):
    """The export's file cannot be opened or read."""

    code = "EVID_EXPORT_UNREADABLE"
    default_next_step = "Name the file that 'stella evidence export' wrote."


class QuestionInvalid(StellaError):
    """The question of an export does not fit together."""

    code = "EVID_EXPORT_QUESTION_INVALID"


class DraftUnusable(StellaError):
    """The draft of an export that was interrupted belongs to another question or another installation, or is at work."""

    code = "EVID_EXPORT_DRAFT"


class ExportUnwritable(StellaError):
    """The export's file or its draft cannot be written."""

    code = "EVID_EXPORT_UNWRITABLE"
