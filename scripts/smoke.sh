#!/usr/bin/env bash
# Proves an account: deploys under a separate name, runs twice, checks, and removes everything again, also after Ctrl-C or a failure.
# Needs: what scripts/setup.sh installs; credentials, region and, for a local stack, AWS_ENDPOINT_URL in the environment
# (eval "$(scripts/local.sh env)" sets them). --help lists the options.
# Exits: 0 proved and removed; 1 a step failed, or not everything was removed; 2 could not start, or not confirmed; 130 interrupted.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly PYTHON="${ROOT}/.venv/main/bin/python"

main() {
  [[ -x "${PYTHON}" ]] || { echo "smoke: nothing is installed: run scripts/setup.sh" >&2; exit 2; }
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${PYTHON}" -m operations.cli.smoke "$@"
}

main "$@"
