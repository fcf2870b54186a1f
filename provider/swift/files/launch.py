"""Runs one of Swift's programs with the swift.conf of this stack: launch.py CONFIGURATION PROGRAM ARGUMENT...

Swift's servers take their rings from swift_dir, but swift.conf, with the hash suffix and the storage policies, always
from /etc/swift. That file belongs to the machine: it may be unreadable, may change, and may ask for rings that are not
here. So its place is changed before the modules that read it are loaded.
"""

import runpy
import sys

from swift.common.utils import set_swift_dir

configuration, program = sys.argv[1:3]
set_swift_dir(configuration)
sys.argv = sys.argv[2:]
runpy.run_path(program, run_name="__main__")
