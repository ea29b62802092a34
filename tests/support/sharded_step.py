"""A pretraining step whose parameters are sharded over two processes, for comparison with one process."""

from pathlib import Path

import torch
import torch.distributed as dist
from small_models import small_config, small_inputs
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync
from cavsync.model.block import Block

WIDE = {"embed_dim": 32, "decoder_embed_dim": 32}
BATCH = 4


def gradients(backend: str, rank: int | None) -> dict[str, Tensor]:
    """Return the whole batch's gradients by name, reconstruction only; a rank computes its half of batch and shards."""
    torch.manual_seed(0)
    model: nn.Module = CAVMAESync(small_config(**WIDE))
    fbank, frames = small_inputs(model.config, batch=BATCH)
    ids = {
        f"ids_restore_{name}": torch.rand(BATCH, rows * columns).argsort(dim=1)
        for name, (rows, columns) in (("audio", model.config.audio_grid), ("visual", model.config.visual_grid))
    }
    mine = slice(None)
    if rank is not None:
        mine = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
        mesh = init_device_mesh("cpu", (2,))
        for block in [module for module in model.modules() if isinstance(module, Block)]:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
    with use_backend(backend):
        masks = {name: value[mine] for name, value in ids.items()}
        model(fbank[mine], frames[mine], contrast_loss_weight=0.0, **masks).loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: grad.full_tensor() if isinstance(grad, DTensor) else grad for name, grad in found.items()}


def run(rank: int, folder: str, backend: str) -> None:
    """Compute one process's half of the batch; rank 0 saves the gathered gradients."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = gradients(backend, rank)
    if rank == 0:
        torch.save(found, Path(folder, "gradients.pt"))
    dist.destroy_process_group()
