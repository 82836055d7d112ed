#!/usr/bin/env bash
# Compares the warehouse with the source: structure, keys, current rows of the facts, all rows of the dimensions. Writes the outcome
# into etl.reconciliation of the warehouse, and says of which moment the warehouse is and when the two last agreed.
# Needs: what scripts/setup.sh installs, and a deployed pipeline; credentials, region and, for a local stack, AWS_ENDPOINT_URL in the
# environment (eval "$(scripts/local.sh env)" sets them). Options: --help tells them.
# Exits: 0 they match; 1 they differ, and the differences are listed; 2 could not compare.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly PYTHON="${ROOT}/.venv/main/bin/python"

main() {
  [[ -x "${PYTHON}" ]] || { echo "reconcile: nothing is installed: run scripts/setup.sh" >&2; exit 2; }
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${PYTHON}" -m operations.reconcile.reconcile "$@"
}

main "$@"
