#!/usr/bin/env bash
# The compiled modules pass the same tests as their source: the core's, on the installed wheel, from
# another folder than the checkout. Usage: tests/compiled_install.sh PYTHON
set -euo pipefail
compiled=$(realpath -s "$1")
checkout=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$checkout/tests" "$checkout/docs" "$checkout/pyproject.toml" "$folder"
cd "$folder"
"$compiled" - <<'PY'
import sys, tomllib
from importlib import import_module
from pathlib import Path

hook = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
names = [path.removesuffix(".py").replace("/", ".") for path in hook["hooks"]["custom"]["modules"]]
plain = [name for name in names if not str(import_module(name).__file__).endswith(".so")]
print(f"{len(names)} modules are compiled")
sys.exit(f"not compiled: {plain}" if plain else 0)
PY
"$compiled" -m pytest -q -p no:cacheprovider -m "not interop and not slow" \
  tests/sip tests/rtp tests/gb28181/test_registrar.py tests/gb28181/media
