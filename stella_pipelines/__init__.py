"""Stella Pipelines: a release control plane for containers outside Kubernetes.

A pure core decides, a relational store remembers, asynchronous engines act, Dagster orchestrates and shows, evidence seals.
Each package below is one theme; its docstring says what the theme is and what it is not. Imports only go down the floors that
`pyproject.toml` lists for import-linter.
"""
