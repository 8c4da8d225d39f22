"""Imports: exports of other installations, taken over after everything in them was verified, and kept apart from this installation's own evidence.

Nothing of a file is stored or shown before the whole of it was verified. Then it is stored in one transaction: after a crash there is all of it, or
nothing. What was imported is never counted, replayed or decided by here: it is for looking, on the other side of an air gap.
"""
