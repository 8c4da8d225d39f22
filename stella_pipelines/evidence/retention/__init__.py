"""Retention: which packets may go after years, which may not, and how they go so that everything can still be proven.

`rules` judges one packet (pure). `holds` keeps legal holds, append-only. `planning` judges every old packet and changes nothing: the dry run.
`purging` seals what goes, in batches, and deletes it in the same transaction: a crash leaves whole batches, and the same plan goes on.
`sweeping` then takes away the blobs that nothing names any more. `purged` answers for what is gone, also to the verification of the log.

What is never purged: the log, the audit trail, the key history, holds, and the packets of purges.
"""
