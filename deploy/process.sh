#!/bin/sh
# One process of an installation that is split up: `process.sh NAME`. The command lines are those of `stella up` (a test compares them).
#
# Wanted in the environment: STELLA_HOME, STELLA_DATABASE_URL. The sockets are in $STELLA_SOCKETS, a folder that only this account can enter.
set -eu
python=${STELLA_PYTHON:-/opt/stella/bin/python}
sockets=${STELLA_SOCKETS:-/run/stella}
workspace=${STELLA_WORKSPACE:-/etc/stella/workspace.yaml}
code=$sockets/code.sock
export DAGSTER_HOME="${DAGSTER_HOME:-$STELLA_HOME/dagster}" STELLA_RUNNER_SOCKET="$sockets/runner.sock" PYTHONUNBUFFERED=1

case ${1:-} in
  migrate) exec "$python" "$(dirname "$0")/migrate.py" ;;
  runner) exec "$python" -m stella_pipelines.jobs.warm.runner "$STELLA_RUNNER_SOCKET" ;;
  code-server)
    exec "$python" -m dagster code-server start --socket "$code" --use-python-environment-entry-point \
      --module-name stella_pipelines.definitions --attribute defs --location-name stella
    ;;
  webserver) exec "$python" -m dagster_webserver --host "${STELLA_WEB_HOST:-127.0.0.1}" --port "${STELLA_WEB_PORT:-3000}" --workspace "$workspace" ;;
  daemon) exec "$python" -m dagster._daemon run --log-level warning --workspace "$workspace" ;;
  submitter) exec "$python" -m stella_pipelines.supervisor.submitter "$code" "${STELLA_WEB_URL:-http://127.0.0.1:3000}" ;;
  celery-worker) exec "$python" -m celery -A stella_pipelines.jobs.shards.celery_app worker --concurrency "${STELLA_CELERY_STEPS:-2}" ;;
  *) echo "usage: process.sh migrate|runner|code-server|webserver|daemon|submitter|celery-worker" >&2; exit 64 ;;
esac
