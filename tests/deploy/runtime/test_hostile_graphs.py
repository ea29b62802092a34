"""ONNX files that reach for other files, are no ONNX, or change between the check and the runtime: refused unopened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
from hostile import AUDIO, VISUAL, Attack, forge, refusal, swap_middle_byte, write
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from cavsync.deploy.runtime import self_contained
from cavsync.deploy.runtime.bundle_files import MAX_GRAPH_BYTES, read_graph
from cavsync.deploy.runtime.self_contained import CHILDREN, check_self_contained
from cavsync.errors import BundleError
from cavsync.manifest import FileEntry, describe_files, read_manifest

LOCATIONS = ("weights.bin", "../../../../../../etc/passwd", "/etc/passwd", "*/_ORT_MEM_ADDR_/*", "")
Place = Callable[[TensorProto], onnx.ModelProto]


@pytest.fixture
def folder(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


def hashed(name: str, content: bytes) -> Attack:
    """Put other bytes in place of a file, with the hash that fits."""

    def attack(folder: Path) -> None:
        (folder / name).write_bytes(content)
        (entry,) = describe_files(folder, [name]).values()
        forge(lambda manifest: manifest["files"].update({name: vars(entry)}))(folder)

    return attack


def outside(location: str = "/etc/passwd") -> TensorProto:
    """A tensor whose four bytes lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(nodes: list[onnx.NodeProto], **parts: list[onnx.TensorProto]) -> onnx.ModelProto:
    output = helper.make_tensor_value_info("y", TensorProto.UINT8, [4])
    graph = helper.make_graph(nodes, "graph", [], [output], **parts)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def initializer(tensor: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Identity", ["w"], ["y"])], initializer=[tensor])


def constant(tensor: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Constant", [], ["y"], value=tensor)])


def list_of_tensors(tensor: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Constant", [], ["y"], values=[tensor])])


def branch(tensor: TensorProto) -> onnx.ModelProto:
    """In a graph that an attribute of a node of a graph of a node holds."""
    inner = constant(tensor).graph
    for _ in range(5):
        node = helper.make_node("If", ["w"], ["y"], then_branch=inner, else_branch=inner)
        inner = model([node]).graph
    return model(list(inner.node))


def function(tensor: TensorProto) -> onnx.ModelProto:
    made = model([helper.make_node("Own", [], ["y"], domain="own")])
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    made.functions.append(helper.make_function("own", "Own", [], ["y"], [node], [helper.make_opsetid("", 13)]))
    return made


def sparse(tensor: TensorProto) -> onnx.ModelProto:
    made = model([helper.make_node("Identity", ["w"], ["y"])])
    made.graph.sparse_initializer.add().values.CopyFrom(tensor)
    return made


def training(tensor: TensorProto) -> onnx.ModelProto:
    made = constant(helper.make_tensor("v", TensorProto.UINT8, [4], b"abcd", raw=True))
    made.training_info.add().algorithm.CopyFrom(constant(tensor).graph)
    return made


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("place", [initializer, constant, list_of_tensors, branch, function, sparse, training])
def test_values_in_other_files_are_refused(place: Place, location: str, folder: Path) -> None:
    """Wherever a tensor can be, and wherever it points: also at a file of the bundle with a hash of its own."""
    content = place(outside(location)).SerializeToString()
    hashed(AUDIO, b"ABCD")(folder)
    shutil.copy(folder / AUDIO, folder / "weights.bin")
    forge(lambda manifest: manifest["files"].update({"weights.bin": manifest["files"][AUDIO]}))(folder)
    for name in (AUDIO, VISUAL):
        hashed(name, content)(folder)
    # The frontend is opened first and is whole.
    sentence = refusal(folder, lambda _: None)
    assert "keeps values in another file (external data)" in sentence


def test_half_a_pointer_is_refused(tmp_path: Path) -> None:
    """The flag alone, the place alone, and flags that a reader of 32 bits takes for the flag."""
    flag_only, place_only = outside(), outside()
    flag_only.ClearField("external_data")
    place_only.ClearField("data_location")
    for tensor in (flag_only, place_only):
        with pytest.raises(BundleError, match="external data"):
            check_self_contained(tmp_path, initializer(tensor).SerializeToString())
    location = b"\x70" + b"\x81\x80\x80\x80\x10"
    tensor_field = b"\x2a" + bytes([len(location)]) + location
    with pytest.raises(BundleError, match="external data"):
        check_self_contained(tmp_path, b"\x3a" + bytes([len(tensor_field)]) + tensor_field)


def test_compiled_programs_are_refused(folder: Path) -> None:
    node = helper.make_node("EPContext", [], ["y"], domain="com.microsoft", ep_cache_context="../engine", embed_mode=0)
    sentence = refusal(folder, hashed(AUDIO, model([node]).SerializeToString()))
    assert "holds a compiled program (EPContext)" in sentence


def test_the_walk_knows_every_way_to_a_tensor() -> None:
    """Against ONNX's own description of its messages."""
    messages = onnx.ModelProto.DESCRIPTOR.file.message_types_by_name
    leading = {"TensorProto"}
    while True:
        more = {
            name
            for name, message in messages.items()
            if any(field.message_type and field.message_type.name in leading for field in message.fields)
        }
        if more <= leading:
            break
        leading |= more
    expected = {
        name: {
            field.number: field.message_type.name
            for field in messages[name].fields
            if field.message_type and field.message_type.name in leading
        }
        for name in leading
    }
    assert expected == CHILDREN
    tensor, node = messages["TensorProto"].fields_by_name, messages["NodeProto"].fields_by_name
    assert tensor["external_data"].number == self_contained.EXTERNAL_DATA
    assert tensor["data_location"].number == self_contained.DATA_LOCATION
    assert node["op_type"].number == self_contained.OP_TYPE


@pytest.mark.parametrize("name", ["log_mel", "embedding", "ReduceMean"])
def test_names_that_are_no_text(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of an input, an output and an operator; and nothing is printed by others."""
    content = (folder / AUDIO).read_bytes().replace(name.encode(), b"\xff\xfe" + name.encode()[2:])
    sentence = refusal(folder, hashed(AUDIO, content))
    assert "is not a usable ONNX graph (a name in it is not UTF-8)" in sentence
    assert capfd.readouterr() == ("", "")


def points_outside(made: onnx.ModelProto) -> bool:
    """ONNX's own reading of the graph's initializers."""
    return any(tensor.data_location == TensorProto.EXTERNAL for tensor in made.graph.initializer)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_changed_byte_hides_a_pointer(data: st.DataObject) -> None:
    """What passes the walk is no model to ONNX, or one that points nowhere."""
    content = bytearray(initializer(outside()).SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_self_contained(Path("graph.onnx"), bytes(content))
    except BundleError:
        return
    try:
        made = onnx.ModelProto.FromString(bytes(content))
    except Exception:  # noqa: BLE001 - protobuf has an error of its own in every implementation
        return
    assert not points_outside(made)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"this is no protocol buffer", "is not a usable ONNX graph"),
        (b"", "is not a usable ONNX graph"),
        (b"\x3a\x7f", "its protocol buffer is damaged"),
        (b"\x0b", "it is not a protocol buffer of ONNX"),
        (b"\x80" * 20, "its protocol buffer is damaged"),
        (b"\x08\x01" * 1_000_001, "it has more than 1000000 fields"),
    ],
)
def test_files_that_are_no_graph_are_refused(content: bytes, words: str, folder: Path) -> None:
    assert words in refusal(folder, hashed(AUDIO, content))


def test_the_runtimes_own_format_is_refused(folder: Path, tmp_path: Path) -> None:
    """ONNX Runtime would open it, but nothing has looked into it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "graph.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(folder / AUDIO, options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "graph.ort").read_bytes()
    assert content[4:8] == b"ORTM"
    assert "is not a usable ONNX graph" in refusal(folder, hashed(AUDIO, content))


def test_a_graph_that_writes_to_the_terminal_is_quoted(folder: Path) -> None:
    """Names in a graph are the author's; what is printed of them obeys nobody."""
    made = onnx.load(folder / AUDIO)
    made.graph.output[0].name = "\x1b[31mred\n"
    made.graph.node[-2].output[0] = "\x1b[31mred\n"
    made.graph.node[-1].input[0] = "\x1b[31mred\n"
    assert "has the outputs ?[31mred?, patches" in refusal(folder, hashed(AUDIO, made.SerializeToString()))


def test_a_graph_is_read_once_and_within_bounds(folder: Path) -> None:
    """What a runtime gets are the bytes that were hashed, and no more than a protocol buffer can hold."""
    entry = read_manifest(folder).files[AUDIO]
    assert read_graph(folder, AUDIO, entry) == (folder / AUDIO).read_bytes()
    with pytest.raises(BundleError, match=f"an ONNX graph at most {MAX_GRAPH_BYTES}"):
        read_graph(folder, AUDIO, FileEntry(entry.sha256, MAX_GRAPH_BYTES + 1))
    write(AUDIO, swap_middle_byte)(folder)
    with pytest.raises(BundleError, match="differs from the hash"):
        read_graph(folder, AUDIO, entry)
