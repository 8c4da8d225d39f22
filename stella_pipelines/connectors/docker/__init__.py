"""Docker targets: one Docker Engine each, driven over the Engine API. Nothing of the machine's own Docker configuration is read."""
