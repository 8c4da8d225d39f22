"""Environments: the estate as declared in `estate.yaml`, and when its doors are closed.

What it is: environments in a promotion path, their gates, targets, components, policies and freeze windows; reading them from a file with errors
that name the line, comparing two of them, and keeping every applied revision.
What it is not: it knows nothing of what runs on a target (connectors) or whether a release may enter (promotions).

An estate has no states, only revisions: 0 is the empty estate, and every `apply` that changes something makes the next one.
A freeze window is either open (nothing is promoted) or not, and says until when.
"""
