#!/bin/sh
# Makes .venv and installs what requirements.lock names, by hash, and this project itself. Called by the Makefile.
set -eu
cd "$(dirname "$0")/../.."

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

wanted=${1:-}
python=
for candidate in ${wanted:-python3 python3.13 python3.12 python3.11 python}; do
    if new_enough "$candidate"; then python=$candidate && break; fi
done
if [ -z "$python" ]; then
    echo "Persevere needs Python 3.11 or newer${wanted:+ and $wanted is not}: install one, or say where it is with PYTHON=/path/to/python3.11." >&2
    exit 2
fi
if ! new_enough .venv/bin/python || { [ -n "$wanted" ] && [ "$(.venv/bin/python -V)" != "$("$python" -V)" ]; }; then
    echo "Set-up: creating .venv with $("$python" -V)"
    rm -rf .venv
    if ! "$python" -m venv .venv >/tmp/persevere-venv.$$ 2>&1; then
        cat /tmp/persevere-venv.$$ >&2
        rm -rf .venv /tmp/persevere-venv.$$
        echo "This Python cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)." >&2
        exit 2
    fi
    rm -f /tmp/persevere-venv.$$
fi
echo "Set-up: installing the packages of requirements.lock (one to two minutes the first time)"
pip() { PYTHONSAFEPATH=1 .venv/bin/python -m pip --disable-pip-version-check "$@"; }
pip install -qq --no-compile --no-deps --require-hashes -r requirements.lock
pip install -qq --no-deps --no-build-isolation --editable .
# Compiled now and on every core: a start of the program takes a third of the time, also where PYTHONDONTWRITEBYTECODE is set.
.venv/bin/python -m compileall -q -j 0 .venv/lib agent_orchestrator agents shared config workflows >/dev/null 2>&1 || true
touch .venv/.installed
