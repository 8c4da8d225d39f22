"""A small registry on loopback that keeps lists of referrers and knows conditional requests, as OCI distribution 1.1 describes both.

It stands in for the registries that do (the one that is packaged does not), keeps everything in memory, and is compared with the specification in
`tests/contract/test_referrers_contract.py`. Who is asking is not asked. Switches turn off what the specification leaves open.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.exchange import Pace
from stella_pipelines.integrations.registries.port import OCI_INDEX

_UPLOADS: Final = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<session>[^/]*)")
_BLOB: Final = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<reference>[^/]+)")
_MANIFEST: Final = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)")
_REFERRERS: Final = re.compile(r"/v2/(?P<name>.+)/referrers/(?P<reference>[^/]+)")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass
class ReferringRegistry:
    """Runs inside a `with`. `before_put` is called with the reference before a manifest is stored: the moment at which another writer is quicker."""

    lists: bool = True
    filters: bool = True
    conditions: bool = True
    page_entries: int = 1000
    before_put: Callable[[str], None] = field(default=lambda reference: None)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> ReferringRegistry:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def host(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def client(self) -> DistributionRegistry:
        """The adapter under test."""
        return DistributionRegistry(self.host, plain_http=True, pace=Pace(timeout_s=10, attempts_max=1))

    def found(self, name: str, reference: str) -> tuple[str, str, bytes] | None:
        """Digest, media type and content behind a tag or digest."""
        digest = reference if _DIGEST.fullmatch(reference) else self.tags.get((name, reference), "")
        stored = self.manifests.get((name, digest))
        return None if stored is None else (digest, *stored)

    def about(self, name: str, subject: str) -> list[dict[str, Any]]:
        """The descriptors of every manifest with this subject, in the order in which they came."""
        return [
            _descriptor(media_type, digest, content)
            for (stored_in, digest), (media_type, content) in self.manifests.items()
            if stored_in == name and (json.loads(content).get("subject") or {}).get("digest") == subject
        ]


def _descriptor(media_type: str, digest: str, content: bytes) -> dict[str, Any]:
    document = json.loads(content)
    artifact_type = document.get("artifactType") or document.get("config", {}).get("mediaType")
    described = {"mediaType": media_type, "digest": digest, "size": len(content), "artifactType": artifact_type, "annotations": document.get("annotations")}
    return {name: value for name, value in described.items() if value is not None}


def _handler(registry: ReferringRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._body()
            match = _UPLOADS.fullmatch(urlsplit(self.path).path)
            if match is None:
                return self._answer(404)
            return self._answer(202, location=f"/v2/{match['name']}/blobs/uploads/only-one")

        def do_PUT(self) -> None:
            content, parts = self._body(), urlsplit(self.path)
            if match := _UPLOADS.fullmatch(parts.path):
                return self._put_blob(match["name"], parse_qs(parts.query).get("digest", [""])[0], content)
            if match := _MANIFEST.fullmatch(parts.path):
                registry.before_put(match["reference"])
                with registry.lock:
                    return self._put_manifest(match["name"], match["reference"], content)
            return self._answer(404)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if match := _REFERRERS.fullmatch(parts.path):
                return self._referrers(match["name"], match["reference"], parse_qs(parts.query))
            if match := _MANIFEST.fullmatch(parts.path):
                return self._manifest(match["name"], match["reference"])
            if match := _BLOB.fullmatch(parts.path):
                content = registry.blobs.get((match["name"], match["reference"]))
                return self._answer(404) if content is None else self._answer(200, content)
            return self._answer(200 if parts.path == "/v2/" else 404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _put_blob(self, name: str, digest: str, content: bytes) -> None:
            if Digest.of(content) != digest:
                return self._answer(400)
            registry.blobs[name, digest] = content
            return self._answer(201, location=f"/v2/{name}/blobs/{digest}")

        def _put_manifest(self, name: str, reference: str, content: bytes) -> None:
            digest, present = str(Digest.of(content)), registry.found(name, reference)
            if registry.conditions and not self._holds(present):
                return self._answer(412)
            if ":" in reference and reference != digest:
                return self._answer(400)
            registry.manifests[name, digest] = (self.headers["Content-Type"], content)
            if ":" not in reference:
                registry.tags[name, reference] = digest
            subject = json.loads(content).get("subject")
            told = {"oci_subject": subject["digest"]} if subject and registry.lists else {}
            return self._answer(201, docker_content_digest=digest, location=f"/v2/{name}/manifests/{digest}", **told)

        def _holds(self, present: tuple[str, str, bytes] | None) -> bool:
            if self.headers.get("If-None-Match") == "*":
                return present is None
            wanted = self.headers.get("If-Match")
            return wanted is None or (present is not None and wanted == f'"{present[0]}"')

        def _manifest(self, name: str, reference: str) -> None:
            present = registry.found(name, reference)
            if present is None:
                return self._answer(404)
            digest, media_type, content = present
            marks = {"etag": f'"{digest}"'} if registry.conditions else {}
            return self._answer(200, content, content_type=media_type, docker_content_digest=digest, **marks)

        def _referrers(self, name: str, subject: str, query: dict[str, list[str]]) -> None:
            if not registry.lists:
                return self._answer(404)
            if not _DIGEST.fullmatch(subject):
                return self._answer(400)
            with registry.lock:
                entries = registry.about(name, subject)
            headers = {}
            if registry.filters and (wanted := query.get("artifactType")):
                entries = [entry for entry in entries if entry["artifactType"] in wanted]
                headers["oci_filters_applied"] = "artifactType"
            start = int(query.get("last", ["0"])[0])
            end = start + registry.page_entries
            if end < len(entries):
                kept = "".join(f"artifactType={quote(one, safe='')}&" for one in query.get("artifactType", []))
                headers["link"] = f'</v2/{name}/referrers/{subject}?{kept}last={end}>; rel="next"'
            index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries[start:end]}
            return self._answer(200, json.dumps(index).encode(), content_type=OCI_INDEX, **headers)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "content_length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler
