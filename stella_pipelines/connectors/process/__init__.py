"""Process targets: a folder on this machine in the place of a host. For the embedded lab; no isolation is claimed.

A component runs as a plain process of the caller's account: it sees the machine's file system, network and processes.
"""
