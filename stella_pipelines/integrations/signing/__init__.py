"""Signing: where the key that seals evidence can live beside a file, as `STELLA_SIGNING_KEY` names it.

`references` reads the name, `selection` opens what it means. A key in Vault or in KMS never comes here: its public half is fetched once and pinned,
each signature is asked for, and checked with that public half before anybody sees it. Without an answer nothing is sealed.
"""
