"""Print the OpenAPI document of this version: ``python -m server.print_openapi > server/web/openapi.json``.

The types of the dashboard are generated from that file, and a test compares it with the code.
"""

import json
import sys

from server.app import describe

if __name__ == "__main__":
    json.dump(describe(), sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
    sys.stdout.write("\n")
