"""Cost of reading and writing MANSCDP beside ElementTree alone, in the same run.

Prints figures; asserts nothing. ElementTree reads text that is already decoded, without prolog.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from xml.etree import ElementTree as ET

from gb28181.edition import Edition
from gb28181.manscdp.catalog import CatalogInfo, CatalogItem, CatalogResponse
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.manscdp.schema import Message

ROUNDS = 100


def microseconds(number: int, *calls: Callable[[], object]) -> list[float]:
    """Time the calls in turn, so that a busy moment of the machine meets them all."""
    rounds = [[timeit.timeit(call, number=number) for call in calls] for _ in range(ROUNDS)]
    return [min(times) / number * 1e6 for times in zip(*rounds, strict=True)]


def catalogue(count: int) -> CatalogResponse:
    items = tuple(
        CatalogItem(
            device_id=f"3402000000132{number:07d}",
            name=f"东门入口{number}",
            manufacturer="ACME",
            model="IPC-1",
            owner="Owner",
            civil_code="340200",
            address="东门",
            parental=0,
            parent_id="34020000001180000001",
            safety_way=0,
            register_way=1,
            secrecy=0,
            status="ON",
            longitude=118.37 + number / 1000,
            latitude=31.33,
            info=CatalogInfo(ptz_type="1"),
        )
        for number in range(count)
    )
    return CatalogResponse(sn="1", device_id="34020000001180000001", sum_num=count, items=items)


def report(name: str, message: Message, number: int) -> None:
    body = encode(message, Edition.GB2016)
    text = body.decode("gb18030").partition("?>")[2]
    tree = ET.fromstring(text)
    read, read_alone, written, written_alone = microseconds(
        number,
        lambda: decode(body),
        lambda: ET.fromstring(text),
        lambda: encode(message, Edition.GB2016),
        lambda: ET.tostring(tree, encoding="unicode"),
    )
    print(
        f"{name:24}{len(body):7} bytes"
        f"  read {read:8.1f} us, ElementTree {read_alone:7.1f} us: {read / read_alone:4.2f} times"
        f"  written {written:8.1f} us, ElementTree {written_alone:7.1f} us:"
        f" {written / written_alone:4.2f} times"
    )


def main() -> None:
    keepalive = KeepaliveNotify(sn="1", device_id="34020000001180000001")
    report("keepalive", keepalive, 100)
    report("catalogue, 100 items", catalogue(100), 1)


if __name__ == "__main__":
    main()
