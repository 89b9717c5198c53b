"""PUT throughput of a running cluster, or with ``--spawn`` of its own: ``walrus-bench`` itself."""

import sys

from walrus.cli.bench import main

if __name__ == "__main__":
    sys.exit(main())
