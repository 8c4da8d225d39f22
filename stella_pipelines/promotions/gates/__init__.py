"""Gates: each gathers its inputs (I/O, stored by content hash) and judges them in a pure function.

Verdicts: `allow`, `deny`, `wait`, `error`. The built-ins come through the same entry points as a third party's.
"""
