"""Before anything else: which Python this is, and where it does not look for modules."""

import sys

if sys.version_info < (3, 8):  # noqa: UP036  (clients have what they have)
    sys.exit("This needs Python 3.8 or later, and is run by an older one: nothing was checked.")
if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]  # the folder that this file is in: whoever filled it could put modules there
