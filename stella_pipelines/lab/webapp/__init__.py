"""The small web shop that the lab deploys, in three versions and two builds.

Every version serves `/`, `/version` and `/health`. v3 has an honest fault: it needs the setting CATALOG_URL, which the lab's estate
gives to dev only. So v3 is healthy in dev, and fails its health check everywhere else.
"""
