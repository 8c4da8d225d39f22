#!/bin/sh
# Make the passwords that compose.yaml wants, once: what is there stays. As root, because the files are given to the containers' account (10001).
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in database_password broker_password; do
  [ -s "secrets/$name" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$name"
  chmod 400 "secrets/$name"
  chown 10001:10001 "secrets/$name"
done
chmod 711 secrets # the containers' account reaches the two files by name; nobody reads the list
