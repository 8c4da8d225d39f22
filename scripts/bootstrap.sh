#!/usr/bin/env bash
# Prepare this checkout: system packages (only what is missing), then .venv. `make` calls it; running it again takes no time.
#
#   scripts/bootstrap.sh demo    what `make demo` needs
#   scripts/bootstrap.sh test    what `make test` needs as well: PostgreSQL, Redis, SQLite, skopeo, cosign, an SSH client, systemd-analyze, the development
#                                packages
#
# Services that come with the packages are not started now: the lab starts its own copies and stops them again. With LAB=embedded no
# system package is installed, except the one that makes Python's venv work. Needs Debian 12, or Ubuntu 22.04 or later; on other systems
# install the programs yourself, and this script only makes .venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly LEVEL=${1:-demo}
readonly LOG=build/bootstrap.log
readonly POLICY=/usr/sbin/policy-rc.d
[[ $LEVEL == demo || $LEVEL == test ]] || { echo "usage: scripts/bootstrap.sh demo|test" >&2; exit 2; }

say() { printf '  · %s\n' "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }
have() { PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# ------------------------------------------------------------------ root

can_be_root() { [[ $(id -u) -eq 0 ]] || { have sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; }; }
as_root() { if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi; }

# ------------------------------------------------------------------ system packages

# Packages bring services, and apt would start them. A policy that says no for the length of the installation prevents it, and an
# earlier policy of the machine comes back afterwards. The mark tells our policy from the machine's, should a run have been killed.
readonly MARK='# temporary, by stella: services are not started while packages are installed'
forbid_services() {
  trap restore_services EXIT
  if [[ -e $POLICY ]] && ! grep -qsF "$MARK" "$POLICY"; then as_root mv "$POLICY" "$POLICY.before-stella"; fi
  printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" | as_root tee "$POLICY" >/dev/null
  as_root chmod 755 "$POLICY"
}
restore_services() {
  if grep -qsF "$MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
  if [[ -e $POLICY.before-stella ]]; then as_root mv "$POLICY.before-stella" "$POLICY"; fi
  trap - EXIT
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >>"$LOG" 2>&1 ||
    { tail -n 20 "$LOG" >&2; fail "apt-get $1 failed; all of its output is in $LOG."; }
}

install_packages() {
  have apt-get || fail "This is not Debian or Ubuntu. Install what these packages hold, then try again: $*"
  can_be_root || fail "These packages are missing, and there is no root and no sudo to install them: $*"
  say "installing with apt, without starting services: $* (output in $LOG)"
  forbid_services
  apt_get update
  apt_get install -y --no-install-recommends "$@"
  restore_services
}

has_static_busybox() {
  have busybox && ! head -c 4096 "$(command -v busybox)" | grep -aqE 'ld-linux|ld-musl' && busybox --list | grep -qx httpd
}
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || have postgres; }
has_apparmor_parser() { ! grep -qs Y /sys/module/apparmor/parameters/enabled || have apparmor_parser; } # Docker insists on it where the kernel has AppArmor
needs_browser() { grep -rqs --include='*.py' 'mark\.browser' tests; }

missing_packages() {
  have dockerd || echo docker.io
  have docker-registry || have registry || echo docker-registry
  have sshd || echo openssh-server
  have ip || echo iproute2
  has_static_busybox || echo busybox-static
  has_apparmor_parser || echo apparmor
  [[ $LEVEL == test ]] || return 0
  have ssh || echo openssh-client
  have skopeo || echo skopeo
  have jq || echo jq
  have unzip || echo unzip
  have openssl || echo openssl
  have sqlite3 || echo sqlite3
  have systemd-analyze || echo systemd
  has_postgres || echo postgresql
  have redis-server || echo redis-server
  if needs_browser && ! have chromium; then echo chromium; fi
}

install_missing_packages() {
  local packages
  mapfile -t packages < <(missing_packages)
  [[ ${#packages[@]} -gt 0 ]] || return 0
  # The demo has a second lab that needs none of this; the tests need all of it.
  if [[ $LEVEL == demo ]] && ! { have apt-get && can_be_root; }; then
    say "not installed, and not installable without root and apt: ${packages[*]} (the demo will use its embedded lab)"
    return 0
  fi
  install_packages "${packages[@]}"
}

# ------------------------------------------------------------------ cosign

# Debian 13 has cosign 2.5, and its package runs on Debian 12 and Ubuntu 22.04 as well. It is taken from Debian's pool by its digest, so neither
# another release nor another key comes into this system's sources.
readonly COSIGN_VERSION=2.5.0-2+b5
declare -rA COSIGN_SHA256=(
  [amd64]=3b6eadd27f3c4c00bfa7eab5c2397a6a15a763630c7a1d40d06ff60d24799eef
  [arm64]=158915eb65c7e024f596958972d76e7feef25355ffaa0dd57d27afb969103028
)

install_cosign() {
  [[ $LEVEL == test ]] && ! have cosign || return 0
  local architecture folder package
  architecture=$(dpkg --print-architecture 2>/dev/null) || fail "This is not Debian or Ubuntu. Install cosign 2.5 or later, then try again."
  [[ -n ${COSIGN_SHA256[$architecture]:-} ]] || fail "Debian's cosign is pinned for ${!COSIGN_SHA256[*]} only. Install cosign 2.5 or later, then try again."
  can_be_root || fail "cosign is missing, and there is no root and no sudo to install it."
  say "installing cosign $COSIGN_VERSION of Debian 13"
  folder=$(mktemp -d) && chmod 755 "$folder" && package=$folder/cosign.deb
  /usr/lib/apt/apt-helper download-file "http://deb.debian.org/debian/pool/main/c/cosign/cosign_${COSIGN_VERSION/+/%2b}_$architecture.deb" \
    "$package" "SHA256:${COSIGN_SHA256[$architecture]}" >>"$LOG" 2>&1 ||
    { tail -n 5 "$LOG" >&2; fail "cosign could not be fetched from deb.debian.org; see $LOG. Any cosign from 2.5 on will do: install one, then try again."; }
  apt_get install -y --no-install-recommends "$package"
  rm -rf "$folder"
}

# ------------------------------------------------------------------ Python

find_python() {
  local name
  for name in python3.13 python3.12 python3.11 python3 python3.14; do
    if have "$name" && "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

ensure_python() {
  PYTHON=$(find_python) && return 0
  if have apt-cache && [[ -n $(apt-cache search --names-only '^python3\.11$' 2>/dev/null) ]]; then
    install_packages python3.11 python3.11-venv
    PYTHON=$(find_python) && return 0
  fi
  fail "Python 3.11 or later is needed, and $(python3 --version 2>/dev/null || echo 'no Python') is here.
On Ubuntu 22.04: sudo apt-get update && sudo apt-get install python3.11 python3.11-venv, then try again."
}

ensure_venv_works() {
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null && return 0
  local version
  version=$("$PYTHON" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')
  install_packages "python$version-venv"
}

make_venv() {
  if .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return 0; fi
  rm -rf .venv
  say "making .venv with $("$PYTHON" --version)"
  "$PYTHON" -m venv .venv >>"$LOG" 2>&1 || { tail -n 5 "$LOG" >&2; fail "$PYTHON cannot make a virtual environment; see $LOG."; }
}

# The stamp names what .venv was made from: with another pyproject.toml or another Python it is made up to date.
stamp_of() { { echo "$1"; .venv/bin/python --version; pwd; cat pyproject.toml; } 2>/dev/null | sha256sum | cut -d' ' -f1; }
is_installed() { [[ -x .venv/bin/python ]] && grep -qsx "$(stamp_of "$1")" .venv/stella-stamps; }

install_python_packages() {
  local what=.
  [[ $LEVEL == demo ]] || what='.[dev]'
  say "installing $what and what it depends on into .venv (a minute or two; output in $LOG)"
  # Editable, so that the next `git pull` or edit is what runs.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --editable "$what" >>"$LOG" 2>&1 ||
    { tail -n 20 "$LOG" >&2; fail "pip failed; all of its output is in $LOG."; }
  stamp_of "$LEVEL" >>.venv/stella-stamps
}

# ------------------------------------------------------------------ the steps

started=$SECONDS
mkdir -p build && : >"$LOG"
[[ ${LAB:-} == embedded ]] || { install_missing_packages; install_cosign; }
if ! is_installed "$LEVEL" && ! { [[ $LEVEL == demo ]] && is_installed test; }; then
  ensure_python
  ensure_venv_works
  make_venv
  install_python_packages
  say "ready after $((SECONDS - started)) s"
fi
