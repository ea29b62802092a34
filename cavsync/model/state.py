"""Reading state dicts from foreign files, and loading them strictly: no key missing or left over."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from cavsync.errors import CheckpointError

WRAPPERS = ("model", "state_dict")
DATA_PARALLEL_PREFIX = "module."
NUM_NAMED = 4


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.pth` file by name, without the DataParallel prefix; nothing in the file is executed.

    Raises CheckpointError where the file is missing, unreadable, or holds anything but named tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint file '{path}': check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"'{path}' cannot be read as a PyTorch checkpoint of plain tensors: download it again, or save its "
            "state dict alone with torch.save."
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(_is_entry(*item) for item in content.items()):
        raise CheckpointError(
            f"'{path}' does not hold a state dict: expected named tensors, save the model's state_dict() alone."
        )
    if all(name.startswith(DATA_PARALLEL_PREFIX) for name in content):
        return {name.removeprefix(DATA_PARALLEL_PREFIX): value for name, value in content.items()}
    return dict(content)


def load_strict(model: nn.Module, state: Mapping[str, Tensor], source: str, advice: str) -> None:
    """Give `model` the values of `state` in place of its own tensors, which may lie on the meta device.

    Real numbers become float32, integers stay integers.

    Raises CheckpointError naming the first keys that are missing, left over, or of another shape;
    `source` names the checkpoint in the message, `advice` is its last clause.
    """
    expected = model.state_dict()
    # Shapes () and (1,) both hold one number.
    state = {
        name: value.reshape(expected[name].shape)
        if name in expected and value.numel() == expected[name].numel() == 1
        else value
        for name, value in state.items()
    }
    missing = [name for name in expected if name not in state]
    left_over = [name for name in state if name not in expected]
    no_numbers = [
        name
        for name, value in expected.items()
        if name in state
        and (state[name].layout != torch.strided or state[name].is_floating_point() < value.is_floating_point())
    ]
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    faults = [
        f"{len(names)} {what} ({', '.join(names[:NUM_NAMED])}{', ...' if len(names) > NUM_NAMED else ''})"
        for what, names in (
            ("missing", missing),
            ("left over", left_over),
            ("of another shape", reshaped),
            ("without numbers", no_numbers),
        )
        if names
    ]
    if faults:
        raise CheckpointError(f"The tensors of {source} do not fit the model: {'; '.join(faults)}. {advice}")
    values = {
        name: value.float() if expected[name].is_floating_point() else value.to(expected[name].dtype)
        for name, value in state.items()
    }
    model.load_state_dict(values, strict=True, assign=True)


def _is_entry(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)
