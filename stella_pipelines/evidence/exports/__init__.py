"""Exports: one file per audit question, which proves itself to whoever has a public key, with no network and no installation.

An export is a ZIP in one exact form (`container`) whose `manifest.json` names every other member by its digest and is signed. What it holds:

- packets and audit entries, each as its exact bytes on a line of a chunk, and beside every chunk the proof that its entries stand in the log;
- the signed checkpoint that the proofs lead to, the key history, and what the packets refer to;
- the same for people: `index.html`, and tables in CSV and Parquet.

How one comes to be: `question` → `selecting` (which entries) → `writing` (into a draft beside the target, which a journal lets go on after a
crash) → `finishing` (sealed as evidence, then renamed). How one is judged: `verifying`, of which every refusal is in `errors`.
"""
