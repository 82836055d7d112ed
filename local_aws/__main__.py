"""`python -m local_aws`."""

import sys

from local_aws.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
