#!/usr/bin/env bash
# Runs every linter over the whole repository: the one lint entry, for people, pre-commit and CI alike.
# Needs: scripts/setup.sh has run. Exits: 0 clean; 1 something to mend, printed by the linter that found it.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly BIN="${ROOT}/.venv/main/bin"

usage() { echo "usage: scripts/lint.sh [--help]    ruff, mypy, shellcheck, cfn-lint and bandit over the repository"; }
log() { printf 'lint: %s\n' "$*" >&2; }

failed=0
check() {
  local name="$1"; shift
  "$@" || { log "${name} found something to mend"; failed=1; }
}

main() {
  if (( $# )); then usage; [[ "$1" == --help ]] && exit 0 || exit 1; fi
  cd "${ROOT}"
  check "ruff" "${BIN}/ruff" check --quiet .
  check "ruff format" "${BIN}/ruff" format --quiet --check .
  check "mypy" "${BIN}/mypy" --no-error-summary
  check "shellcheck" "${BIN}/shellcheck" scripts/*.sh .ci/run
  check "cfn-lint" "${BIN}/cfn-lint" "cloudformation/*.yaml"
  check "bandit" "${BIN}/bandit" --quiet --recursive --severity-level medium --configfile pyproject.toml glue_jobs operations local_aws local_totesys
  exit "${failed}"
}

main "$@"
