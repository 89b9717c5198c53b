#!/bin/bash
# Make an environment under build/pythons for each other version of Python on this machine that Walrus runs on, and
# print their interpreters, separated by colons: what OTHER_PYTHONS wants to prove that a seed is the same run on all.
set -euo pipefail
cd "$(dirname "$0")/.."
found=()
for version in 3.11 3.12 3.13 3.14; do
    for python in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
        [ -x "$python" ] && "$python" -c 'import venv, ensurepip' 2>/dev/null || continue
        home=build/pythons/$version
        if [ ! -x "$home/bin/python" ]; then
            "$python" -m venv "$home" >&2
            "$home/bin/pip" install -q msgspec sortedcontainers >&2
        fi
        found+=("$PWD/$home/bin/python")
        break
    done
done
(IFS=:; echo "${found[*]}")
