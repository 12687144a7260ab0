"""The emulations use Linux's own means, such as /proc."""

import sys

collect_ignore_glob = [] if sys.platform == "linux" else ["*"]
