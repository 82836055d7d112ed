#!/usr/bin/env bash
# Installs what is needed, and starts or stops the local stack: `scripts/totesys local`, whose --help tells the options.
# Needs: what scripts/setup.sh needs. LOCAL_DIR holds all state (default .local): two of them live side by side.
# Exits: 0 done (status: all is up); 1 not, and the last line says why; 2 could not start; 130 interrupted.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

main() {
  "${ROOT}/scripts/setup.sh"
  exec "${ROOT}/scripts/totesys" local "$@"
}

main "$@"
