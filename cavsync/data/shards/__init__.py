"""Clips in tar shards: packed from videos once, then read fast and in any order. WebDataset can read them too.

This package exports the reading side: `ShardFolder` is a source of clips, `is_shard_folder` recognises its folder, and
`Damage` describes an unusable sample. `cavsync.data.shards.pack.pack` writes shards; its `PackOptions`, and `Label` and
`read_vocabulary` for its vocabulary, are exported here.

Imports `cavsync.data.labels`, the clip and audio modules of `cavsync.data`, and `cavsync.media`.
"""

from cavsync.data.labels import Label, read_vocabulary
from cavsync.data.shards.damage import Damage
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.reader import ShardFolder
from cavsync.media.files import is_shard_folder

__all__ = ["Damage", "Label", "PackOptions", "ShardFolder", "is_shard_folder", "read_vocabulary"]
