"""Registries: where images come from, behind one port (`port.py`) with two adapters.

`distribution.py` speaks the OCI Distribution API, `layout.py` reads and writes an OCI image layout folder that stands in a
registry's place. Both verify every byte against its digest: what does not hash to what was asked for never leaves this room.
What is attached to a manifest is found and extended in `referring.py`, whether the registry keeps a list of referrers or not.
Tags are only questions here; that a tag is asked once, and by whom, is the releases room's business.
"""
