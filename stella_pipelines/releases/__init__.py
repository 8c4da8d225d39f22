"""Releases: immutable bundles of OCI digests, and the reports given to them.

A release is made from image references, whose tags are asked once and kept as a note. Its states: draft → finalized (immutable; its
identity is the digest of its OCI manifest) → deprecated → archived. Not here: whether a release may go anywhere (`promotions`), what
a report means (the security gate), and where it runs (`deployments`).
"""
