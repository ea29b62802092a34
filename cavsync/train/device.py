"""Device, precision and processes of a run."""

from __future__ import annotations

import os
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from cavsync.errors import ConfigError
from cavsync.model.block import Block
from cavsync.train.config import TrainConfig


def make_fabric(config: TrainConfig) -> Fabric:
    """Set up Fabric as configured and launch or join its processes; "auto" uses GPUs if there are any.

    Under `torchrun` the processes are those that it started, on one node or many; otherwise `devices` are started here.

    Raises:
        ConfigError: the batch cannot be divided evenly, or there are fewer GPUs than asked for.
    """
    accelerator = config.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    _require_devices(accelerator, config)
    precision = config.precision if config.precision != "auto" else _native_precision(accelerator)
    devices, nodes = _processes(config)
    parts = devices * nodes * config.gradient_accumulation
    if config.batch_clips % parts:
        raise ConfigError(
            f"batch_clips {config.batch_clips} cannot be divided among {devices * nodes} processes in "
            f"{config.gradient_accumulation} parts each: use a multiple of {parts}."
        )
    strategy = _strategy(config, devices * nodes)
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


def _require_devices(accelerator: str, config: TrainConfig) -> None:
    if accelerator != "cuda":
        return
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = _processes(config)[0]
    if found < wanted:
        raise ConfigError(
            f"{wanted} GPUs are asked for on this node and {found} can be used: lower devices, or set accelerator=cpu."
        )


def _processes(config: TrainConfig) -> tuple[int, int]:
    """Return (processes per node, nodes): torchrun's if it started this process, else the configured ones."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        per_node = int(os.environ["LOCAL_WORLD_SIZE"])
        return per_node, int(os.environ["WORLD_SIZE"]) // per_node
    return config.devices, config.nodes


def _strategy(config: TrainConfig, num_processes: int) -> Strategy | str:
    if num_processes == 1:
        return "auto"
    if config.strategy == "fsdp":
        return ModelParallelStrategy(_shard, data_parallel_size=num_processes, tensor_parallel_size=1)
    # Norms that no stream uses get no gradient, which DDP would wait for.
    return DDPStrategy(find_unused_parameters=True)


def _shard(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Apply FSDP: each block's parameters are distributed over the processes and gathered when it runs."""
    data_parallel = mesh["data_parallel"]
    for block in [module for module in model.modules() if isinstance(module, Block)]:
        fully_shard(block, mesh=data_parallel)
    fully_shard(model, mesh=data_parallel)
    return model


def place_untrained(module: nn.Module, fabric: Fabric) -> nn.Module:
    """Bring a module that is not trained to the run's devices, sharded where the trained one is; DDP takes none."""
    module = module.to(fabric.device)
    if isinstance(fabric.strategy, ModelParallelStrategy):
        return _shard(module, fabric.strategy.device_mesh)
    return module


def sync_batch_norm(model: nn.Module, fabric: Fabric) -> nn.Module:
    """Compute batch statistics over all processes on GPUs; PyTorch cannot on CPUs, where each process uses its own."""
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return converted
    return model


def _native_precision(accelerator: str) -> Literal["bf16-mixed", "32-true"]:
    """Return bf16 if the hardware supports it; emulated, it is slower than float32."""
    if accelerator == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"
