"""Integrations: the systems around us that are neither ours nor targets. Here: secrets by reference, and OCI registries.

An integration is only ever used when the operator has configured it; nothing in this room has a default address. Rooms above see
narrow ports and typed errors, never a client library. Deploying to hosts is not done here (see `connectors`).
"""
