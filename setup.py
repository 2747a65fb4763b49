"""Puts configs/, sweeps/ and external/ into the wheel, where `recface.settings.compose.HOME` finds them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithShare(build_py):
    """Builds from an empty folder, so that no deleted module travels, and adds the folders that lie beside src/."""

    def run(self) -> None:
        """Build."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            for name in ("configs", "sweeps", "external"):
                shutil.copytree(name, Path(self.build_lib, "recface", "share", name))


setup(cmdclass={"build_py": BuildWithShare})
