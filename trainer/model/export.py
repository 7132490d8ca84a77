"""Exports of a finished model: ONNX, safetensors. Each is compared with the original before it is returned.

ONNX: one input a column, by its name: float64 (rows,) for numbers and times (seconds since 1970, UTC), NaN where
missing; text (rows,) in the spelling of the vocabulary, empty where missing; of numbers with words among them the
words, by the column's name and `: word`; of free text the places of its tokens, int64 (rows, width), as
`texts` in the metadata says. All preprocessing is in the graph.
Safetensors: the weights, and in the file's metadata under `traind` a JSON object with all the rest.
Called by name from the service's side worker, and by models themselves.
"""

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from traind.data.encoding.encoder import FIRST, MISSING, UNSEEN
from traind.data.predict_input import table_from
from traind.data.table.arrays import Codes, Mixed, Table
from traind.trainer.contract.errors import ExportFailed
from traind.trainer.model.custom_model import CustomModel
from traind.trainer.model.model import GOLDEN_TOLERANCE, Model, load_model
from traind.trainer.model.onnx_module import Whole
from traind.trainer.model.tensor_file import write_file

OPSET = 17
PREFIX = "traind/"  # of every name within the graph, so that columns may have any name
UNSEEN_TEXT = "\x00 not a level of any vocabulary"
TRIALS = 100  # columns of which each is missing once


def export_request(request: dict[str, Any]) -> dict[str, Any]:
    """Write the model at `model_path` as `format` below `out_dir`, for the side worker; return the file's `path`."""
    path = Path(request["out_dir"], f"{Path(request['model_path']).stem}.{request['format']}")
    export(load_model(request["model_path"]), request["format"], path)
    return {"path": str(path)}


def export(model: Model | CustomModel, kind: str, path: Path) -> None:
    """Write the model; raises `ExportFailed` where it cannot be exported, or would predict differently."""
    if not isinstance(model, Model):
        raise ExportFailed("Only models of the built-in trainer can be exported.")
    if kind not in FORMATS:
        raise ExportFailed(f"There is no format {kind!r}.", hint=f"There are {', '.join(sorted(FORMATS))}.")
    write_file(path, FORMATS[kind](model))


def to_onnx(model: Model) -> bytes:
    """Return the model as an ONNX file that predicts as it does."""
    try:
        import onnx
        import onnx.compose
        import onnxruntime  # noqa: F401 - with which the comparison is made
    except ImportError as error:
        raise ExportFailed("ONNX is not installed here.", hint="pip install 'traind[onnx]'") from error
    proto = onnx.compose.add_prefix(onnx.load_from_string(_traced(model)), PREFIX)
    _name_inputs(model, proto)
    outputs = _name_outputs(model, proto)
    proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 2))
    onnx.helper.set_model_props(proto, {"traind": msgspec.json.encode(_described(model)).decode()})
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    table = trial_table(model)
    expected, found = model.values_of(table), _run(data, model, table, outputs)
    _compare(model, expected, torch.from_numpy(found[-1]))
    if model.labels and list(found[0]) != model.named(torch.from_numpy(found[-1])).labels:
        raise ExportFailed("The ONNX model names other classes than the original.")
    return data


def to_safetensors(model: Model) -> bytes:
    """Return the weights as a safetensors file, with the rest of the model as JSON metadata."""
    weights = {name: tensor.contiguous() for name, tensor in model.content["weights"].items()}
    kept = ("trainer", "spec", "metrics", "data", "versions", "weights_digest", "architecture", "recipe", "schema")
    about = {name: model.content[name] for name in (*kept, "encoder") if name in model.content}
    data = save(weights, {"format": "pt", "traind": msgspec.json.encode(about).decode()})
    table = trial_table(model)
    expected, found = model.values_of(table), from_safetensors(data).values_of(table)
    if not torch.equal(expected, found):
        raise ExportFailed("The safetensors model does not predict what the original does.")
    return data


def from_safetensors(data: bytes) -> Model:
    """Return the model in a safetensors file that `to_safetensors` made."""
    length = int.from_bytes(data[:8], "little")
    about = msgspec.json.decode(msgspec.json.decode(data[8 : 8 + length])["__metadata__"]["traind"])
    scale = about["recipe"]["target_scale"]  # JSON has no infinities: they are the defaults
    about["recipe"]["target_scale"] = {name: value for name, value in scale.items() if value is not None}
    return Model({**about, "weights": load(data)})


FORMATS: dict[str, Callable[[Model], bytes]] = {"onnx": to_onnx, "safetensors": to_safetensors}


def trial_table(model: Model) -> Table:
    """Return rows to compare on: the golden ones, then the first of them with cells missing and unseen."""
    golden = [dict(row) for row in model.content["golden"]["rows"]]
    if not golden:
        raise ExportFailed("The model has no golden rows to compare an export on.")
    names = [column.name for column in model.encoder.columns]
    texts = [vocabulary.column for vocabulary in model.encoder.vocabularies]
    rows = [
        *golden,
        *({**golden[0], name: None} for name in names[:TRIALS]),
        *({**golden[0], name: UNSEEN_TEXT} for name in texts[:TRIALS]),
        dict.fromkeys(names),
    ]
    return table_from([{name: row[name] for name in names} for row in rows], model.encoder)


def _tensor(model: Model, table: Table, encoded: NDArray[np.int64], name: str) -> NDArray[Any]:
    """Return the graph's input for a column: numbers, level indices (rows,), or token indices (rows, width)."""
    if not isinstance(table.columns[name], Codes):
        return table.numbers(name)
    _, places = model.encoder.places(name)
    return encoded[:, places].copy() if name in token_widths(model) else encoded[:, places[0]].copy()


def token_widths(model: Model) -> dict[str, int]:
    """Return how many tokens each column of free text has, by name."""
    return {rule.column: rule.width for rule in model.encoder.texts}


def _traced(model: Model) -> bytes:
    """Return the whole model as ONNX with inputs `in_<number>`, text as indices."""
    whole, file = Whole(model), BytesIO()
    table = trial_table(model)
    encoded = model.encoder.encode(table).categorical
    cells = [torch.from_numpy(_tensor(model, table, encoded, name)) for name in whole.columns]
    cells += [torch.from_numpy(word_places(table, name, words)) for name, words in whole.words.items()]
    names = [f"in_{place}" for place in range(len(cells))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about constants that are; the exporter's, about its age
        torch.onnx.export(
            whole.eval(),
            tuple(cells),
            file,  # type: ignore[arg-type]  # it takes files as well
            dynamo=False,
            input_names=names,
            output_names=["values"],
            dynamic_axes={name: {0: "rows"} for name in (*names, "values")},
            opset_version=OPSET,
        )
    return file.getvalue()


def word_places(table: Table, name: str, words: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the place of each cell's word among the column's, from 1; 0 where there is none."""
    cells = table.columns[name]
    assert isinstance(cells, Mixed)
    lookup = np.array([*(words.index(level) + 1 for level in cells.words.levels), 0], np.int64)
    return lookup[cells.words.codes]


def _name_inputs(model: Model, proto: Any) -> None:
    """Give the graph one input a column, by its name; text is numbered by its vocabulary."""
    from onnx import TensorProto, helper

    vocabularies = {vocabulary.column: vocabulary for vocabulary in model.encoder.vocabularies}
    widths, inputs, nodes = token_widths(model), [], []
    for place, column in enumerate(model.encoder.columns):
        inner, vocabulary = f"{PREFIX}in_{place}", vocabularies.get(column.name)
        width = widths.get(column.name)
        kind = TensorProto.INT64 if width else TensorProto.DOUBLE if vocabulary is None else TensorProto.STRING
        inputs.append(helper.make_tensor_value_info(column.name, kind, ["rows", width] if width else ["rows"]))
        if vocabulary is None:
            nodes.append(helper.make_node("Identity", [column.name], [inner]))
        else:
            levels = ("", *vocabulary.levels)
            indices = (MISSING, *range(FIRST, FIRST + len(vocabulary.levels)))
            nodes.append(
                _encoder([column.name], [inner], keys_strings=levels, values_int64s=indices, default_int64=UNSEEN)
            )
    wordy = [column for column in model.encoder.columns if column.words]
    for place, column in enumerate(wordy, len(model.encoder.columns)):
        name = f"{column.name}: word"
        inputs.append(helper.make_tensor_value_info(name, TensorProto.STRING, ["rows"]))
        keys, places = ("", *column.words), range(len(column.words) + 1)
        mapping = {"keys_strings": keys, "values_int64s": places, "default_int64": 0}
        nodes.append(_encoder([name], [f"{PREFIX}in_{place}"], **mapping))
    for field, new in (("input", inputs), ("node", [*nodes, *proto.graph.node])):
        proto.graph.ClearField(field)
        getattr(proto.graph, field).extend(new)


def _name_outputs(model: Model, proto: Any) -> list[str]:
    """Give the graph its outputs: `prediction`, and of classes `probabilities`; return their names."""
    from onnx import TensorProto, helper

    taken, values = {column.name for column in model.encoder.columns}, f"{PREFIX}values"
    names = [name + "_" if name in taken else name for name in ("prediction", "probabilities")]
    proto.graph.ClearField("output")
    if not model.labels:
        proto.graph.node.append(helper.make_node("Identity", [values], names[:1]))
        proto.graph.output.append(helper.make_tensor_value_info(names[0], TensorProto.DOUBLE, ["rows"]))
        return names[:1]
    best = f"{PREFIX}best"
    proto.graph.node.extend(
        [
            helper.make_node("ArgMax", [values], [best], axis=1, keepdims=0),
            _encoder([best], names[:1], keys_int64s=range(len(model.labels)), values_strings=model.labels),
            helper.make_node("Identity", [values], names[1:]),
        ]
    )
    proto.graph.output.extend(
        [
            helper.make_tensor_value_info(names[0], TensorProto.STRING, ["rows"]),
            helper.make_tensor_value_info(names[1], TensorProto.FLOAT, ["rows", len(model.labels)]),
        ]
    )
    return names


def _encoder(inputs: list[str], outputs: list[str], **mapping: Any) -> Any:
    from onnx import helper

    return helper.make_node("LabelEncoder", inputs, outputs, domain="ai.onnx.ml", **mapping)


def _run(data: bytes, model: Model, table: Table, outputs: list[str]) -> list[Any]:
    """Return the ONNX model's predictions for the table."""
    import onnxruntime

    encoded = model.encoder.encode(table).categorical
    vocabularies = {one.column: one for one in model.encoder.vocabularies}
    fed: dict[str, NDArray[Any]] = {}
    for column in model.encoder.columns:
        fed[column.name] = _tensor(model, table, encoded, column.name)
        if column.name in vocabularies:
            texts = np.array(["", UNSEEN_TEXT, *vocabularies[column.name].levels], dtype=object)
            fed[column.name] = texts[fed[column.name]]
        if column.words:
            words = np.array(["", *column.words], dtype=object)
            fed[f"{column.name}: word"] = words[word_places(table, column.name, column.words)]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(outputs, fed)
    return found


def _compare(model: Model, expected: Tensor, found: Tensor) -> None:
    """Raise `ExportFailed` where predictions differ from the original's by more than rounding."""
    scale = 1.0 if model.labels else max(1e-30, float(expected.abs().max()))
    off = float((expected.double() - found.double()).abs().max())
    if expected.shape != found.shape or not off <= GOLDEN_TOLERANCE * scale:
        raise ExportFailed(f"The ONNX model does not predict what the original does: it is off by {off:.3g}.")


def _described(model: Model) -> dict[str, Any]:
    """Return the metadata for users of the ONNX file."""
    return {
        "target": model.encoder.target,
        "labels": model.labels,
        "columns": [{"name": column.name, "kind": column.kind} for column in model.encoder.columns],
        "metrics": model.metrics,
        "texts": msgspec.to_builtins(model.encoder.texts),
    }
