"""Dagster resources: the control plane of this installation, and through it the registries, the target connectors and the signer.

They hold no state of their own. What they reach is declared in the estate; credentials stay references there.
"""
