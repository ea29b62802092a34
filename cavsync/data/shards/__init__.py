"""Clips in tar shards: packed from videos once, read fast and in any order afterwards. WebDataset reads them too.

Here is the reading side; `cavsync.data.shards.pack` writes.
"""

from cavsync.data.labels.vocabulary import Label, read_vocabulary
from cavsync.data.shards.damage import Damage
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.reader import ShardFolder, is_shard_folder

__all__ = ["Damage", "Label", "PackOptions", "ShardFolder", "is_shard_folder", "read_vocabulary"]
