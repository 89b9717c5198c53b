#!/bin/sh
# Makes .venv and installs Walrus into it; with the argument `dev`, also what tests and checks need.
# The second time it does nothing: a stamp in .venv holds what it was made from, down to the compiler and the headers
# of liburing, for a machine may get them later.
# PYTHON=/path/to/python3 chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
what=${1:-run}

extension="setup.py walrus/io/uring/_build.py"
headers=$(for header in /usr/include/liburing.h /usr/local/include/liburing.h; do [ ! -e "$header" ] || echo "$header"; done)
compiler=$(command -v "${CC:-cc}" || true)
stamp_text="$PWD $(cat pyproject.toml $extension 2>/dev/null | cksum) $compiler $headers"
current() { # current <what>: is the stamp of that kind there, for this folder and these sources?
    [ "$(cat ".venv/.walrus-$1" 2>/dev/null)" = "$stamp_text" ] && .venv/bin/python -c '' 2>/dev/null
}
if current dev || { [ "$what" = run ] && current run; }; then
    exit 0
fi

version_ok='import sys; sys.exit(sys.version_info < (3, 11))'
has_venv='import venv, ensurepip'
chosen= no_venv= seen=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    found=$("$candidate" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue
    seen="${seen:+$seen, }$candidate is $found"
    "$candidate" -c "$version_ok" || continue
    if "$candidate" -c "$has_venv" 2>/dev/null; then
        chosen=$candidate
        break
    fi
    no_venv=${no_venv:-$candidate}
done
if [ -z "$chosen" ] && [ -n "$no_venv" ]; then
    package=$(basename "$no_venv")-venv
    echo "Walrus needs Python's venv module, which $no_venv lacks. On Debian or Ubuntu: apt-get install $package" >&2
    exit 1
fi
if [ -z "$chosen" ]; then
    echo "Walrus needs Python 3.11 or newer (${seen:-no Python was found}). On Debian 12 or Ubuntu 24.04 and later:" \
        "apt-get install python3 python3-venv; elsewhere name one: make run PYTHON=/path/to/python3.11" >&2
    exit 1
fi

echo "Installing Walrus into .venv ($("$chosen" --version))"
if ! .venv/bin/python -c "import sys, pip; $version_ok" 2>/dev/null || [ "$(cat .venv/.walrus-home 2>/dev/null)" != "$PWD" ]; then
    "$chosen" -m venv --clear .venv
    echo "$PWD" >.venv/.walrus-home # scripts in a virtual environment hold its path: a moved folder needs a new one
fi
extras=
[ "$what" = dev ] && extras='[dev]'
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras" || {
    echo "pip could not install Walrus's dependencies: its reason is above. Then run the same command again." >&2
    exit 1
}
.venv/bin/python -c 'import walrus.io.uring._liburing' 2>/dev/null || echo \
    "Installed without io_uring, so nodes write through mmap: to build it takes a C compiler, Python's headers and" \
    "liburing's (Debian: apt-get install gcc python3-dev liburing-dev), then the same command again."
echo "$stamp_text" >".venv/.walrus-$what"
