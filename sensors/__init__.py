"""The reconcilers. Each looks at the store every five seconds and makes sure that what was decided also happens, exactly once.

The submitter of `stella up` does the same work within a quarter of a second. A sensor finds something to do only when the submitter did
not: it was not running, or it died at the wrong moment.
"""
