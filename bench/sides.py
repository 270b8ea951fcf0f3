"""The sides of a comparison: nothing, the runtime, gVisor. Each is a name and the command that comes before a program to run it that way."""

import os
import shutil

from process import Failed, output

NATIVE, RUN, GVISOR = "native", "run", "gvisor"


class Sides:
    """names: those that are measured, in order; reason: why gVisor is not, if it is not."""

    def __init__(self, scone, with_gvisor=True):
        self.prefix = {NATIVE: [], RUN: [scone, "run", "--"]}
        self.reason, self.version = "", ""
        if with_gvisor:
            self._find_gvisor()
        else:
            self.reason = "not asked for"

    def _find_gvisor(self):
        """KVM where it works, ptrace where it does not: a platform that cannot run true within a few seconds cannot."""
        runsc = shutil.which("runsc")
        if not runsc:
            self.reason = "runsc is not installed"
            return
        for platform in ("systrap", "kvm", "ptrace"):
            prefix = [runsc, "--rootless", "--network=host", "--ignore-cgroups", f"--platform={platform}", "do", "-quiet"]
            try:
                output(prefix + ["/bin/true"], seconds=8)
            except Failed as e:
                self.reason = f"{platform}: {e}"
                continue
            self.reason = ""
            self.prefix[GVISOR] = prefix
            self.version = f"{output([runsc, '--version']).splitlines()[0]}, platform {platform}, host network"
            return

    @property
    def names(self):
        return list(self.prefix)

    def command(self, side, cmd):
        """Programs by their whole path: the sides search PATH in other orders."""
        path = shutil.which(cmd[0])
        if not path:
            raise Failed(f"{cmd[0]} is not installed")
        return self.prefix[side] + [os.path.abspath(path)] + cmd[1:]
