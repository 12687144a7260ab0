"""gantrain push: upload a model with its card to the Hugging Face Hub."""

import tempfile
from pathlib import Path

from gantrain.commands.publishing import Publication, publish
from gantrain.config.push import PushConfig
from gantrain.io import hub


def main(config: PushConfig) -> None:
    """Export to a temporary folder, and upload its files in one commit.

    Raises:
        ConfigError: the model cannot be exported, or the hub refuses it. Nothing has been uploaded
            then.
    """
    user = hub.check_access(config.address, config.private)
    what = Publication(
        config.run, config.license, config.pictures, config.data_root, str(config.address)
    )
    with tempfile.TemporaryDirectory(prefix="gantrain-push-") as home:
        folder = Path(home)
        publish(what, folder)
        branch = f", branch {config.revision}" if config.revision else ""
        seen = "private" if config.private else "public, unless it is private already"
        print(f"Uploading to {config.to}{branch} as {user} (a new repository is {seen}):")
        for file in sorted(folder.iterdir()):
            print(f"  {file.name}  {_size(file.stat().st_size)}")
        made = hub.upload(folder, config.address, config.private)
    print(f"{made.url}\nLoad it: gantrain.load({str(made.address)!r})")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
