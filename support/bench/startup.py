"""Seconds from `persevere serve` to ready, the first time and later, beside a bare import of the same packages."""

from __future__ import annotations

from measure import BARE_IMPORT, data_folder, percentile, python_s, running_server, tell


def main() -> None:
    bare = python_s(BARE_IMPORT)
    with data_folder() as data:
        with running_server(data) as server:
            first = server.ready_s
        later = []
        for _ in range(3):
            with running_server(data) as server:
                later.append(server.ready_s)
    again = percentile(later, 0.5)
    tell("startup", bare_s=round(bare, 2), first_s=round(first, 2), later_s=round(again, 2), ratio=round(again / bare, 2))


if __name__ == "__main__":
    main()
