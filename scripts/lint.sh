#!/usr/bin/env bash
# Runs every linter over the whole repository. People, pre-commit and CI all use this script.
# Needs: scripts/setup.sh has run. Exits: 0 clean; 1 a linter found a fault and printed it.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly BIN="${ROOT}/.venv/main/bin"

usage() { echo "usage: scripts/lint.sh [--help]    ruff, mypy, shellcheck, cfn-lint, template policies, bandit and pip-audit over the repository"; }
log() { printf 'lint: %s\n' "$*" >&2; }

failed=0
check() {
  local name="$1"; shift
  "$@" || { log "${name} found faults"; failed=1; }
}

# Looks for known vulnerabilities of the locked packages. If the advisories cannot be reached, that is logged and is not a failure.
audit() {
  local lock report answer=0
  report="$(mktemp)"
  for lock in requirements/ingest.txt requirements/spark.txt requirements/main.txt; do
    : > "${report}"
    "${BIN}/pip-audit" --disable-pip --require-hashes --requirement "${lock}" --timeout 10 --progress-spinner off \
      --format json --output "${report}" 2> /dev/null || answer=1
    if [[ ! -s "${report}" ]]; then
      log "pip-audit: ${lock} is not audited, since the advisories cannot be reached"
      answer=0
      break
    fi
    log "pip-audit: ${lock}: $(grep -o '"vulns"' "${report}" | wc -l) packages audited, $(grep -o '"skip_reason"' "${report}" | wc -l) unknown here"
    (( answer == 0 )) || { grep -o '"name": "[^"]*", "version": "[^"]*", "vulns": \[{"id": "[^"]*"' "${report}"; break; }
  done
  rm -f "${report}"
  return "${answer}"
}

main() {
  if (( $# )); then usage; [[ "$1" == --help ]] && exit 0 || exit 1; fi
  cd "${ROOT}"
  audit &  # mostly waits for answers
  local auditing=$!
  check "ruff" "${BIN}/ruff" check --quiet .
  check "ruff format" "${BIN}/ruff" format --quiet --check .
  check "mypy" "${BIN}/mypy" --no-error-summary
  check "shellcheck" "${BIN}/shellcheck" scripts/*.sh scripts/totesys .ci/run
  check "cfn-lint" "${BIN}/cfn-lint" "cloudformation/*.yaml"
  check "template policies" "${BIN}/python" -m pytest --quiet -p no:cacheprovider tests/templates
  check "bandit" "${BIN}/bandit" --quiet --recursive --severity-level medium --configfile pyproject.toml glue_jobs operations local_aws local_totesys
  wait "${auditing}" || { log "pip-audit found faults"; failed=1; }
  exit "${failed}"
}

main "$@"
