"""The pages that a person reads: what the export answers, what is proven, every packet in a line, and how to verify all of it with other tools.

They load nothing, run nothing and are good on paper. Every text in them may come from a stranger, and is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from stella_pipelines.core.clock import parse_instant
from stella_pipelines.evidence.exports.completeness import ends_in_words
from stella_pipelines.evidence.exports.manifest import Summary
from stella_pipelines.evidence.exports.words import PacketLine

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --good: #1a7f37; --bad: #c4332b; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; padding: .3rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; overflow-wrap: break-word; }
.id, .free { overflow-wrap: anywhere; } .free { min-width: 9rem; } time { white-space: nowrap; }
code, pre, .id { font: 13px/1.5 ui-monospace, monospace; } pre { background: var(--soft); padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.good { color: var(--good); } .bad { color: var(--bad); } .outside { opacity: .6; } .wide { overflow-x: auto; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; } }
@media print {
  body { margin: 0; max-width: none; font-size: 10px; } code, pre, .id { font-size: 9px; } td { overflow-wrap: anywhere; } .free { min-width: 0; }
  a { color: inherit; } thead { display: table-header-group; } tr { break-inside: avoid; } }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
_FREE: Final = range(4, 8)
"""The columns of a packet's line that hold people's words: release, by, why, rests on."""
_GOOD: Final = frozenset({"allow", "succeeded", "deployed", "PASSED"})
_BAD: Final = frozenset({"deny", "failed", "rolled_back", "rollback_failed", "FAILED", "found"})


_VERIFY: Final = "stella evidence verify-export FILE --key evidence.pub"
VERIFY_WITH_OPENSSL: Final = """unzip -p FILE packets/000001.jsonl | sed -n 1p > packet.json
jq -j .payload packet.json | base64 -d > payload
{ printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < payload)"; cat payload; } > signed
jq -j '.signatures[0].sig' packet.json | base64 -d > signature
openssl pkeyutl -verify -pubin -inkey evidence.pub -rawin -in signed -sigfile signature"""
VERIFY_WITH_COSIGN: Final = """unzip -p FILE "blobs/sha256-$(jq -r '.subject[0].digest.sha256' payload)" > subject
jq -c --arg hint "$(jq -r '.signatures[0].keyid' packet.json)" '{mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
  verificationMaterial: {publicKey: {hint: $hint}, tlogEntries: []},
  dsseEnvelope: {payload, payloadType, signatures: [{sig: .signatures[0].sig}]}}' packet.json > bundle.json
echo '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' > trusted_root.json
cosign verify-blob-attestation --key evidence.pub --bundle bundle.json --new-bundle-format --trusted-root trusted_root.json \\
  --insecure-ignore-tlog subject"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a packet is in the export."""

    chunk: str
    line: int
    """From 1."""
    log_index: int


Row = tuple[PacketLine, Place]


def index_page(summary: Summary, rows: Iterable[Row], blobs: Collection[str], pages: Sequence[str], tables: Sequence[str], key_ids: Sequence[str]) -> bytes:
    """The first page: everything but the packets beyond the first chunk."""
    title = f"Evidence: {summary.question.in_words()}"
    parts = [
        f"<h1>{_in(title)}</h1>",
        _facts(summary, key_ids),
        _streams(summary),
        _verifying(),
        _packets(summary, rows, blobs, up=""),
        _more(pages),
        _others(summary, tables),
    ]
    return _document(title, "\n".join(parts))


def more_page(summary: Summary, number: int, rows: Iterable[Row], blobs: Collection[str]) -> bytes:
    """The packets of a further chunk."""
    title = f"Evidence: {summary.question.in_words()}, page {number}"
    body = f'<h1>{_in(title)}</h1>\n<p><a href="../index.html">The first page</a></p>\n' + _packets(summary, rows, blobs, up="../")
    return _document(title, body)


def _document(title: str, body: str) -> bytes:
    head = f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_in(_POLICY)}">\n<meta name="viewport" content="width=device-width">'
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n<title>{_in(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )
    return page.encode("utf-8", "replace")


def _facts(summary: Summary, key_ids: Sequence[str]) -> str:
    log, counts = summary.log, summary.counts
    facts = [
        ("Holds", f"{counts.packets} packets, {counts.audit} audit entries, {counts.blobs} artifacts"),
        ("Purged", f"{counts.purged} packets, of which only the place in the log is left" if counts.purged else "nothing"),
        ("Log", f"{log.origin}, {log.size} entries"),
        ("Root", log.root),
        ("Keys", ", ".join(key_ids)),
    ]
    rows = "\n".join(f'<tr><th scope="row">{name}</th><td class="id">{_in(value)}</td></tr>' for name, value in facts)
    return f"<table>\n{rows}\n</table>\n<p>This page is for reading. What counts is in the other members of the file, and is proven there.</p>"


def _streams(summary: Summary) -> str:
    if not summary.streams:
        return (
            "<h2>What is complete</h2>\n<p>These packets were picked out because they name the digest. That there are no others is what the installation says; "
            "an export of everything proves it.</p>"
        )
    ends = ends_in_words(summary.streams)
    rows = "\n".join(
        f"<tr><td>{_in(span.stream)}</td><td>{span.first or '–'}</td><td>{span.last or '–'}</td><td>{_in(ends[span.stream])}</td></tr>"
        for span in summary.streams
    )
    head = '<thead><tr><th scope="col">Stream</th><th scope="col">First no.</th><th scope="col">Last no.</th><th scope="col">Behind it</th></tr></thead>'
    words = (
        "Every number from the first to the last is here. Where a first number is not 1, or another one follows behind the last, that packet stands outside "
        "the span of time, and shows where the span ends."
    )
    return f"<h2>What is complete</h2>\n<table>\n{head}\n<tbody>\n{rows}\n</tbody>\n</table>\n<p>{words}</p>"


def _verifying() -> str:
    return (
        "<h2>How to verify it</h2>\n<p>The whole file, with the public key and nothing else:</p>\n"
        f"<pre>{_in(_VERIFY)}</pre>\n<p>One packet with OpenSSL (for an ECDSA key: <code>openssl dgst -sha256 -verify evidence.pub -signature signature signed"
        f"</code>):</p>\n<pre>{_in(VERIFY_WITH_OPENSSL)}</pre>\n"
        "<p>And the same packet with cosign, which wants the file that the packet is about:</p>\n"
        f"<pre>{_in(VERIFY_WITH_COSIGN)}</pre>"
    )


def _packets(summary: Summary, rows: Iterable[Row], blobs: Collection[str], up: str) -> str:
    names = ("No.", "Sealed", "Kind", "Outcome", "Release", "By", "Why", "Rests on", "Packet")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(_row(summary, line, place, blobs, up) for line, place in rows)
    return f'<h2>Packets</h2>\n<div class="wide">\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>'


def _row(summary: Summary, line: PacketLine, place: Place, blobs: Collection[str], up: str) -> str:
    inside = summary.question.is_in_span(parse_instant(line.sealed_at))
    tone = "good" if line.outcome in _GOOD else "bad" if line.outcome in _BAD else ""
    rests = ", ".join(
        f'<a href="{up}blobs/sha256-{digest}">{_in(name)}</a>' if digest in blobs else f'<span title="sha256:{digest}">{_in(name)}</span>'
        for name, digest in line.artifacts
    )
    cells = [
        f"{_in(line.stream)} <b>{line.sequence}</b>",
        f"<time>{_in(line.sealed_at[:10])}</time> <time>{_in(line.sealed_at[11:19])}Z</time>" + ("" if inside else " (outside the span)"),
        _in(line.kind),
        f'<span class="{tone}">{_in(line.outcome)}</span>',
        _in(line.release),
        _in(line.by),
        _in(line.why),
        rests,
        f'<span class="id">{_in(line.packet_id)}</span><br>log {place.log_index}, line {place.line} of <a href="{up}{place.chunk}">{place.chunk}</a>',
    ]
    tagged = "".join(f'<td class="free">{cell}</td>' if place_in_row in _FREE else f"<td>{cell}</td>" for place_in_row, cell in enumerate(cells))
    return ("<tr>" if inside else '<tr class="outside">') + tagged + "</tr>"


def _more(pages: Sequence[str]) -> str:
    links = ", ".join(f'<a href="{page}">{number}</a>' for number, page in enumerate(pages, start=2))
    return f"<p>More packets: page {links}</p>" if pages else ""


def _others(summary: Summary, tables: Sequence[str]) -> str:
    listed = "".join(f'<li><a href="{name}">{name}</a></li>' for name in tables)
    audit = "<li><code>audit/</code>: the audit entries, one on a line, in the order of the log</li>" if summary.counts.audit else ""
    return (
        "<h2>What else is in the file</h2>\n<ul>\n"
        f"{audit}<li><code>checkpoint</code>, <code>keys.json</code>, <code>consistency.json</code>: "
        "the log's signed head, every key that ever sealed, and proofs from older heads</li>"
        "<li><code>*.proof.json</code>: where the lines of a chunk stand in the log, and the proof</li>"
        f"<li><code>blobs/</code>: what the packets rest on, each named by its digest</li>{listed}\n</ul>"
    )


def _in(text: str) -> str:
    return escape(text, quote=True)
