"""The processes behind `stella up`: code server, runner, daemon, web server and submitter, started, watched and stopped together.

`supervisor.py` is the order of things, `process.py` one child, `home.py` the files that Dagster wants, `submitter.py` what submits.
"""
