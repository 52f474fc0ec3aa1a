"""Fuzzes one target for some time: with atheris where it is installed, else with plain mutation.

``python tests/fuzz/run.py TARGET SECONDS``. A finding is written to ``crash-TARGET-...`` and ends
the run with an error.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import random
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
_ATHERIS = "atheris"  # has no types, and is not always there


def mutated(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Change some bytes, repeat, drop or exchange some pieces."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        place, end = sorted(chance.randint(0, len(changed)) for _ in range(2))
        match chance.randint(0, 6):
            case 0 if place < len(changed):
                changed[place] = chance.randint(0, 255)
            case 1:
                changed[place:place] = chance.choice(_PIECES)
            case 2:
                del changed[place : min(end, place + 40)]
            case 3:
                changed[place:place] = changed[place : min(end, place + 200)]
            case 4:
                other = chance.choice(others)
                first = chance.randint(0, len(other))
                changed[place:end] = other[first : first + chance.randint(0, 100)]
            case 5 if place < len(changed):
                changed[place] ^= 1 << chance.randint(0, 7)
            case _:
                changed[place:end] = chance.choice(_PIECES) * chance.randint(1, 9)
    return bytes(changed[:65_536])


_PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n ", b" ", b"\t", b"\0", b";", b",", b":", b"=", b'"',
    b"'", b"\\", b"<", b">", b"@", b"[", b"]", b"%00", b"\xff", b"\x80", b"99999999999", b"-1",
    "٣".encode(), "大".encode("gb18030"), b"Content-Length: 5\r\n", b"l:0\r\n", b"Via: ", b"tag=",
    b"sip:", b"SIP/2.0", b"Digest ", b"nc=", b"qop=", b"&", b"<!DOCTYPE", b"]]>", b"\x00\x00\x01",
    b"\x00\x00\x01\xba", b"\x00\x00\x01\xe0\x00\x00", b"$\x00", b"\xff\xff",
]  # fmt: skip


def run_mutation(name: str, seconds: float) -> int:
    """Fuzz without coverage feedback; return the number of inputs."""
    targets = _load("targets")
    target, pool = targets.TARGETS[name], targets.seeds(name)
    chance = random.Random()
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        data = mutated(chance.choice(pool), chance, pool)
        count += 1
        try:
            target(data)
        except Exception:
            path = f"crash-{name}-{hashlib.sha256(data).hexdigest()[:16]}"
            Path(path).write_bytes(data)
            print(f"{name}: finding after {count} inputs, see {path}", file=sys.stderr)  # noqa: T201
            raise
    return count


def run_atheris(name: str, seconds: float, fuzzer: str = _ATHERIS) -> None:
    """Fuzz with coverage feedback; atheris ends the process itself."""
    atheris = importlib.import_module(fuzzer)
    with atheris.instrument_imports(include=["sip", "rtp", "gb28181"]):
        targets = _load("targets")
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(targets.seeds(name)):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={int(seconds)}", "-max_len=65536", "-timeout=5"]
        atheris.Setup(
            [sys.argv[0], corpus, *options, f"-artifact_prefix=crash-{name}-"],
            targets.TARGETS[name],
        )
        atheris.Fuzz()


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run one target."""
    name, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    sys.path.insert(0, str(HERE.parents[1]))
    if importlib.util.find_spec(_ATHERIS) is not None and "--plain" not in sys.argv:
        run_atheris(name, seconds)
    else:
        print(f"{name}: {run_mutation(name, seconds)} inputs, nothing found")  # noqa: T201


if __name__ == "__main__":
    main()
