#!/usr/bin/env bash
# Installs what is needed, and starts or stops the local stack with `scripts/totesys local`. --help lists the options.
# Needs: what scripts/setup.sh needs. LOCAL_DIR holds all state (default .local); stacks in different folders can run side by side.
# Exits: 0 done (status: everything is up); 1 not, and the last line says why; 2 could not start; 130 interrupted.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

main() {
  "${ROOT}/scripts/setup.sh"
  exec "${ROOT}/scripts/totesys" local "$@"
}

main "$@"
