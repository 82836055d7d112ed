#!/usr/bin/env bash
# Deploys the pipeline: stacks, code, credentials and catalog tables; then proves that all of it is there. With --plan it only looks.
# Needs: what scripts/setup.sh installs; AWS credentials and a region in the environment; for a local stack also AWS_ENDPOINT_URL
# (eval "$(scripts/local.sh env)" sets all of them). Safe to run again. Options: --help tells them.
# Exits: 0 deployed, or planned; 1 not, and the last line says why; 2 not understood.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

main() {
  "${ROOT}/scripts/setup.sh"
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${ROOT}/.venv/main/bin/python" -m operations.deployment.deploy "$@"
}

main "$@"
