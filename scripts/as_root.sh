#!/usr/bin/env bash
# Run a command as root where that is possible without surprises, else as it is. Docker Engines need root; the embedded lab does not.
#
#   root                    → runs the command
#   LAB=embedded            → runs the command as this user
#   sudo is there           → runs it with sudo (which may ask for the password), and gives files made in the checkout back to the user
#   neither                 → runs it as this user; the lab then says that it is the embedded one, and why
set -euo pipefail

if [[ $(id -u) -eq 0 || ${LAB:-} == embedded ]] || ! command -v sudo >/dev/null; then
  exec "$@"
fi
if ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; then
  exec "$@" # nobody is there to type a password
fi

give_back() {
  local made=()
  for folder in .stella .pytest_cache .hypothesis .mypy_cache .ruff_cache build; do
    [[ -e $folder ]] && made+=("$folder")
  done
  [[ ${#made[@]} -eq 0 ]] || sudo chown -R "$(id -u):$(id -g)" "${made[@]}"
}
trap give_back EXIT
sudo --preserve-env=LAB,KEEP,CI,ONLY,COLUMNS,TERM,NO_COLOR,STELLA_TEST_DATABASES,STELLA_CHAOS_DEPLOYMENTS PYTHONDONTWRITEBYTECODE=1 "$@"
