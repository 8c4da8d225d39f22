"""Keys: who may sign packets and checkpoints, and which signatures still count.

`signing` signs with a private key, wherever that lives; `public` reads public halves; `signatures` names the algorithms. Each installation has a
history of its keys (`events`, `history`): every key is put in force, retired or revoked by an event that the key before it signed, so that old packets
stay verifiable and a revoked key is named. `book` keeps the events in the store, `changes` writes new ones, `ring` is what a verifier holds.

States: a key is in force, retired or revoked; an event is never changed.
"""
