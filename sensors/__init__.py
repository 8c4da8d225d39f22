"""The reconcilers. Each looks at the store every few seconds and makes sure that what was decided also happens, exactly once.

The submitter of `stella up` does the same work as soon as something is written. A sensor finds something to do only when the submitter did
not: it was not running, or it died at the wrong moment.

`retention.py` is no sensor: it is the one schedule, which has old runs deleted once a day.
"""
