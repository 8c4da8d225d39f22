"""Lab: a small estate to try things on, stood up below one folder and removed without a trace.

Kind `engines` is real: a registry, four Docker Engines and two SSH servers on loopback addresses of their own (needs root). Kind
`embedded` needs only Python: an OCI image layout folder in the registry's place and process targets. The demo, the tests and the
benchmarks use the same lab. It never talks to the machine's own Docker. States of a lab: claimed → standing → removed; a lab whose
owner died is an orphan, which the next start (or `python -m stella_pipelines.lab sweep`) removes.
"""
