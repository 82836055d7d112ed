#!/usr/bin/env bash
# Removes a deployment: `scripts/totesys destroy`, whose --help tells the options. Safe to run again.
# Needs: what scripts/setup.sh installs; credentials, region and, for a local stack, AWS_ENDPOINT_URL in the environment
# (eval "$(scripts/local.sh env)" sets them).
# Exits: 0 removed; 1 failed half way; 2 could not start, or not confirmed; 130 interrupted.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

main() {
  exec "${ROOT}/scripts/totesys" destroy "$@"
}

main "$@"
