#!/usr/bin/env bash
# Removes a deployment with `scripts/totesys destroy`. --help lists the options. Safe to run again.
# Needs: what scripts/setup.sh installs; credentials, region and, for a local stack, AWS_ENDPOINT_URL in the environment
# (eval "$(scripts/local.sh env)" sets them).
# Exits: 0 removed; 1 failed halfway; 2 could not start, or not confirmed; 130 interrupted.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

main() {
  exec "${ROOT}/scripts/totesys" destroy "$@"
}

main "$@"
