#!/usr/bin/env bash
# The core is pure Python: its tests pass on the installed wheel, without any extra, from another
# folder than the checkout. Usage: tests/plain_install.sh PYTHON
set -euo pipefail
python=$(realpath -s "$1")
checkout=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m pip wheel -q --no-deps -w "$folder/wheel" "$checkout"
"$python" -m venv "$folder/venv"
plain="$folder/venv/bin/python"
"$plain" -m pip install -q --disable-pip-version-check -c "$checkout/constraints.txt" \
  "$folder"/wheel/*.whl pytest pytest-asyncio hypothesis
"$plain" - <<'PY'
import importlib.util, sys
extras = [name for name in ("av", "numpy", "pydantic", "fastapi", "httpx", "construct") if importlib.util.find_spec(name)]
sys.exit(f"not a plain install: {extras} are here" if extras else 0)
PY
cp -r "$checkout/tests" "$checkout/docs" "$folder"
cp "$checkout/pyproject.toml" "$folder/pyproject.toml"
cd "$folder"
echo "the core's tests on a plain install:"
"$plain" -m pytest -q -p no:cacheprovider -m "not interop and not slow" \
  tests/sip tests/rtp tests/gb28181
