"""`python -m weather CONF READING...`"""

import sys

from weather.report import report
from weather.settings import load_conf


def main(arguments):
    if len(arguments) < 2:
        print("usage: python -m weather CONF READING...", file=sys.stderr)
        return 2
    load_conf(arguments[0])  # fails early, before the readings are looked at
    print(report(arguments[0], [float(value) for value in arguments[1:]]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
