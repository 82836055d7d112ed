"""What scripts/totesys runs."""

import sys

from operations.cli.main import main

sys.exit(main())
