"""Deployments (DEPLOY): a plan that tells the truth, a rollout that can be resumed, and a way back that is proven.

    plan ─► compare with the approved plan ─► artifacts stored ─► prepare every target ─► waves of targets ─► observe ─► seal

`rollout.py` decides and touches nothing; `engine.py` acts and decides nothing; between them stands the journal: intent before an
effect, outcome after it. A deployment is `running` until one transaction ends it, seals its evidence and moves its promotion:
`succeeded`, `rolled_back` (what ran before runs again), `rollback_failed` (a person is needed), `failed` (left as it is, as the
environment asks), `refused` (nothing was touched).

Not here: how a target is driven (`connectors`), whether a release may be deployed (`promotions`).
"""
