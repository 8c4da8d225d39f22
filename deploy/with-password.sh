#!/bin/sh
# Become the command that is given, with the passwords from their files in its environment, and in no URL, unit, image or `docker inspect`.
#
# The database's: $STELLA_DATABASE_PASSWORD_FILE, or the systemd credential `database-password`. libpq reads it as PGPASSWORD.
# The broker's: $STELLA_CELERY_PASSWORD_FILE, put into $STELLA_CELERY_BROKER; letters and digits only, because it becomes part of a URL.
set -eu

password_in() { # a file that is named must be there: without it, something would be tried without a password
  [ -r "$1" ] || { echo "with-password: $1 cannot be read by $(id -un 2>/dev/null || id -u); nothing was started." >&2; exit 78; }
  cat "$1"
}

credential=${CREDENTIALS_DIRECTORY:+$CREDENTIALS_DIRECTORY/database-password}
# A unit may have other credentials and no password; but a folder that cannot be entered says nothing about what is in it.
if [ -n "$credential" ] && [ -x "$CREDENTIALS_DIRECTORY" ] && [ ! -e "$credential" ]; then credential=; fi
file=${STELLA_DATABASE_PASSWORD_FILE:-$credential}
if [ -n "$file" ]; then
  PGPASSWORD=$(password_in "$file")
  export PGPASSWORD
fi
if [ -n "${STELLA_CELERY_BROKER:-}" ] && [ -n "${STELLA_CELERY_PASSWORD_FILE:-}" ]; then
  broker_password=$(password_in "$STELLA_CELERY_PASSWORD_FILE")
  STELLA_CELERY_BROKER="${STELLA_CELERY_BROKER%%://*}://:$broker_password@${STELLA_CELERY_BROKER#*://}"
  export STELLA_CELERY_BROKER
fi
exec "$@"
