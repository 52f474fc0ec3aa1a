#!/bin/sh
# Fuzzes every target, or those that are named, each for SECONDS_EACH seconds (60).
# PYTHON is the interpreter; with atheris in it the fuzzing follows coverage.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-"$here/../../.venv/bin/python"}
[ $# -gt 0 ] || set -- datagram stream usual_heads digest sdp manscdp program_stream deframer nal_units transport_stream aac

for target in "$@"; do
    echo "== $target"
    "$python" "$here/run.py" "$target" "${SECONDS_EACH:-60}"
done
