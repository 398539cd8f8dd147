#!/usr/bin/env bash
# Builds a wheel and an sdist, installs each into an empty environment and runs `sweep smoke`, `compare` and `report` there.
#   tests/package.sh [PYTHON...]      default: python3.11, python3.12 and python3.13, those that are in PATH or in pyenv
# Each environment needs the disk space of PyTorch, and is removed before the next one. The sdist is installed with the first Python.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf -- "${work:?}"' EXIT

tour() {  # FOLDER: the three commands in a new folder, with the program of the environment
  mkdir "$1" && cd "$1"
  "$work/env/bin/resnet-lab" sweep smoke
  "$work/env/bin/resnet-lab" compare smoke
  "$work/env/bin/resnet-lab" report smoke
  test -s runs/smoke/summary.json && test -s runs/smoke/report/index.html
}

pythons=("$@")
if [ $# = 0 ]; then
  for version in 3.11 3.12 3.13; do
    candidates=("$(command -v "python$version" || true)" "$HOME/.pyenv/versions/$version".*/bin/python)
    for candidate in "${candidates[@]}"; do
      if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then pythons+=("$candidate"); break; fi
    done
  done
fi
[ ${#pythons[@]} -gt 0 ] || { echo "There is no Python 3.11 to 3.13 here." >&2; exit 1; }

"${pythons[0]}" -m venv "$work/build"
"$work/build/bin/python" -m pip install --quiet hatchling
(cd "$root" && "$work/build/bin/python" -m hatchling build --directory "$work/dist")

for python in "${pythons[@]}"; do
  "$python" --version
  "$python" -m venv --clear "$work/env"
  "$work/env/bin/python" -m pip install --quiet "$work"/dist/*.whl
  (tour "$work/wheel-$("$python" -c 'import sys; print(sys.version_info.minor)')")
  if [ "$python" = "${pythons[0]}" ]; then
    "$work/env/bin/python" -m pip install --quiet --force-reinstall --no-deps "$work"/dist/*.tar.gz
    (tour "$work/sdist")
  fi
done
echo "wheel and sdist work with: ${pythons[*]}"
