#!/usr/bin/env bash
# Installs what all scripts need into .venv/: environments for two versions of Python, the wheels that the jobs ship, and Spark's JARs.
# Needs: bash, Python 3.8 or newer with its venv module, and a package index for the first run. No root. Safe to run again.
# Exits: 0 ready; 1 something is missing, and the last line says what.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly VENV="${ROOT}/.venv"
readonly LOCKS="${ROOT}/requirements"
readonly POSTGRES_JAR_SHA256=188976721ead8e8627eb6d8389d500dccc0c9bebd885268a3047180274a6031e
readonly MINIMUM_FREE_MB=4000

# Java, Python, PostgreSQL and Spark read lists of paths. These characters end a path or a word there, and cannot be quoted.
readonly UNUSABLE=$'[:"$`\\\\\n]'

usage() {
  echo "usage: scripts/setup.sh [--environments | --help]    install everything into .venv/, or only Python's environments, which are"
  echo "                                                     enough for linting and ingest's tests; a second run does nothing"
}
log() { printf 'setup: %s\n' "$*" >&2; }
die() { log "error: $*"; exit 1; }

# The stamp of a part is the checksum of its lock and of this script. A part is installed again only when its stamp has changed.
stamp() { cat "$@" "${BASH_SOURCE[0]}" | cksum; }
is_done() { [[ -f "${VENV}/$1.stamp" && "$(cat "${VENV}/$1.stamp")" == "$2" ]]; }
mark_done() { printf '%s\n' "$2" > "${VENV}/$1.stamp"; }

install_uv() {
  local want; want="$(stamp "${LOCKS}/bootstrap.txt")"
  is_done bootstrap "${want}" && return
  log "uv"
  command -v python3 > /dev/null || die "python3 is not on the PATH: install Python 3.8 or newer"
  local free_mb; free_mb="$(df -Pm "${ROOT}" | awk 'NR == 2 {print $4}')"
  (( free_mb >= MINIMUM_FREE_MB )) || die "the disk of ${ROOT} has ${free_mb} MB free: ${MINIMUM_FREE_MB} MB are needed"
  python3 -m venv --clear "${VENV}/bootstrap" > /dev/null 2>&1 \
    || die "python3 has no venv module: install it (Debian: python3-venv)"
  "${VENV}/bootstrap/bin/pip" install --quiet --quiet --require-hashes --requirement "${LOCKS}/bootstrap.txt" \
    || die "pip could not install uv: is a package index reachable?"
  mark_done bootstrap "${want}"
}

uv() { "${VENV}/bootstrap/bin/uv" --quiet "$@"; }

# Prints the interpreter of a version: from pyenv, or one that uv finds.
find_python() {
  local version="$1" candidate
  for candidate in "${PYENV_ROOT:-${HOME}/.pyenv}/versions/${version}".*/bin/python; do
    [[ -x "${candidate}" ]] && { echo "${candidate}"; return; }
  done
  uv python find --no-python-downloads "${version}" 2> /dev/null
}

# Lets uv fetch an interpreter, and prints its path. After one failure it does not retry, since that takes long without a network.
fetch_python() {
  local version="$1"
  is_done "no-python-${version}" "${version}" && return 1
  uv python install "${version}" 2> /dev/null && uv python find "${version}" 2> /dev/null && return
  mark_done "no-python-${version}" "${version}"
  return 1
}

install_environment() {
  local name="$1" version="$2" lock="${LOCKS}/$3" want python
  want="$(stamp "${lock}")"
  is_done "${name}" "${want}" && return
  python="$(find_python "${version}" || fetch_python "${version}")" || return 1
  log "Python ${version} environment"
  uv venv --clear --python "${python}" "${VENV}/${name}"
  # By default, the first import of a module compiles it and keeps the result. If Python may not keep it, all modules are compiled here.
  uv pip sync ${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} --require-hashes --python "${VENV}/${name}/bin/python" "${lock}" \
    || die "could not install ${lock}: is a package index reachable?"
  mark_done "${name}" "${want}"
}

# Fetches the wheels that a job ships to AWS, for the job's Python, and packs them into one wheel.
fetch_wheels() {
  local name="$1" version="$2" tag="$3" lock="${LOCKS}/$1.txt" want
  want="$(stamp "${lock}" "${ROOT}/operations/deployment/vendor_wheel.py")"
  is_done "wheels-${name}" "${want}" && return
  log "wheels of the ${name} job"
  rm -rf "${VENV:?}/wheels/${name}"
  "${VENV}/main/bin/python" -m pip download --quiet --quiet --no-deps --require-hashes --only-binary=:all: --python-version "${version}" \
    --platform manylinux2014_x86_64 --platform manylinux_2_24_x86_64 --platform manylinux_2_28_x86_64 --dest "${VENV}/wheels/${name}/fetched" --requirement "${lock}" \
    || die "could not fetch the wheels of ${lock}: is a package index reachable?"
  (cd "${ROOT}" && PYTHONPATH=glue_jobs .venv/main/bin/python -m operations.deployment.vendor_wheel "${VENV}/wheels/${name}" "${tag}") \
    || die "could not pack the wheels of the ${name} job: the lines above say why"
  mark_done "wheels-${name}" "${want}"
}

install_jars() {
  local want jar; want="$(stamp "${LOCKS}/jars.txt")"
  is_done jars "${want}" && return
  log "JARs for Spark"
  rm -rf "${VENV:?}/jars" "${VENV:?}/jars-packages"
  uv pip install --no-deps --require-hashes --python "${VENV}/main/bin/python" --target "${VENV}/jars-packages" --requirement "${LOCKS}/jars.txt" \
    || die "could not install the JARs: is a package index reachable?"
  mkdir -p "${VENV}/jars"
  find "${VENV}/jars-packages" \( -name 'hadoop-aws-*.jar' -o -name 'aws-java-sdk-bundle-*.jar' -o -name '*postgresql-*.jar' \) -exec ln -f {} "${VENV}/jars/" \;
  jar="$(find "${VENV}/jars" -name '*postgresql-*.jar')"
  echo "${POSTGRES_JAR_SHA256}  ${jar}" | sha256sum --check --quiet || die "${jar} is not the published PostgreSQL JDBC driver"
  mark_done jars "${want}"
}

main() {
  case "$*" in
    "" | --environments) ;;
    --help) usage; exit 0 ;;
    *) usage; exit 1 ;;
  esac
  # shellcheck disable=SC2053  # a pattern
  [[ "${ROOT}" != *${UNUSABLE}* ]] || die "the path of this checkout contains one of : \" \$ \` \\ or a line break, which search paths cannot contain: move it"
  mkdir -p "${VENV}"
  install_uv
  install_environment main 3.11 main.txt || die "Python 3.11 can neither be found nor fetched: install it"
  install_environment ingest 3.9 ingest-test.txt || die "Python 3.9, the version of Glue's Python shell, can neither be found nor fetched: install it"
  [[ "$*" == --environments ]] && exit 0
  install_environment glue-shell 3.9 glue-shell.txt
  install_environment glue-spark 3.11 glue-spark.txt
  install_jars
  # Glue's Python shell runs on Amazon Linux 2, its Spark on Amazon Linux 2023.
  fetch_wheels ingest 3.9 cp39-cp39-manylinux2014_x86_64
  fetch_wheels spark 3.11 cp311-cp311-manylinux_2_28_x86_64
}

main "$@"
