"""An environment of Harbor without a container: commands are processes of this machine, below a folder.

Harbor names absolute paths (`/logs`, `/tests`, `/app`); in commands and transfers they are paths of that folder. It
holds nothing back: for tests alone.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from harbor.environments.base import BaseEnvironment, ExecResult

_OURS = re.compile(r"(?<![\w./-])/(?=(?:logs|tests|app|solution|installed-agent)\b)")


class LocalEnvironment(BaseEnvironment):  # type: ignore[misc]
    """Runs a trial in a folder of its own."""

    @staticmethod
    def type() -> str:
        return "local"

    def _validate_definition(self) -> None:
        """Nothing is built."""

    async def start(self, force_build: bool) -> None:  # noqa: ARG002 - Harbor's signature
        self._root = Path(tempfile.mkdtemp(prefix="harbor-"))
        for name in ("app", "home", "logs/agent", "logs/verifier", "logs/artifacts"):
            (self._root / name).mkdir(parents=True)

    async def stop(self, delete: bool) -> None:  # noqa: ARG002 - Harbor's signature
        shutil.rmtree(self._root)

    def _inside(self, path: object) -> Path:
        return self._root / str(path).lstrip("/")

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        self._inside(target_path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source_path, self._inside(target_path))

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        shutil.copytree(source_dir, self._inside(target_dir), dirs_exist_ok=True)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        shutil.copy2(self._inside(source_path), target_path)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        shutil.copytree(self._inside(source_dir), target_dir, dirs_exist_ok=True)

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,  # noqa: ARG002 - Harbor's signature
    ) -> ExecResult:
        inherited: dict[str, Any] = {"PATH": os.environ["PATH"], "HOME": str(self._root / "home")}
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", _OURS.sub(f"{self._root}/", command)),
            cwd=self._inside(cwd or "app"),
            env=inherited | (self._merge_env(env) or {}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), timeout_sec)
        finally:
            with contextlib.suppress(ProcessLookupError):  # a trial that was cut short
                os.killpg(process.pid, signal.SIGKILL)
        code = process.returncode or 0
        return ExecResult(stdout=out.decode(), stderr=err.decode(), return_code=code)
