"""A deployment over thousands of targets as steps for Celery workers. Only there when the installation names a broker; nothing else imports Celery.

`sharded_deployment.py` is the job, `sharding.py` says when it is wanted, `celery_executor.py` and `resubmission.py` queue its steps and queue
them again when their worker has died, `celery_app.py` is what a worker runs.
"""
