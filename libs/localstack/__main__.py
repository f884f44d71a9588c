"""`python -m localstack up|down|status|logs`."""

import sys

from localstack.cli import main

sys.exit(main())
