"""The recipe's `publish` section."""

from __future__ import annotations

from pydantic import Field

from llemma.core.config import Config


class PublishConfig(Config):
    """What the build's folder holds beside the shards.

    text     the documents as Parquet, from which `datasets.load_dataset(OUT)` reads; takes room on the disk
    samples  documents that are shown of each source, and of each reason for which documents of it were removed
    """

    text: bool = True
    samples: int = Field(default=10, ge=0, le=1000)
