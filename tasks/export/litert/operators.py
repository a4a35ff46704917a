"""The operators of ONNX that can be written for LiteRT, each with what writes it."""

from __future__ import annotations

from tasks.export.litert import arithmetic, int8, layers, shapes
from tasks.export.litert.arithmetic import Lower, along, elementwise, reduction, several
from tasks.export.litert.entry import ENTRY

OPERATORS: dict[str, Lower] = {
    # With weights, or looking at neighbours.
    "AveragePool": layers.pooling,
    "Conv": layers.convolution,
    "Gemm": layers.dense,
    "MatMul": layers.product,
    "MaxPool": layers.pooling,
    "Pad": layers.framing,
    # Number by number.
    "Abs": elementwise("ABS"),
    "Add": elementwise("ADD", "AddOptions", fuses=True),
    "And": elementwise("LOGICAL_AND"),
    "Cast": arithmetic.cast,
    "Clip": arithmetic.clip,
    "Div": elementwise("DIV", "DivOptions", fuses=True),
    "Equal": elementwise("EQUAL"),
    "Exp": elementwise("EXP"),
    "Floor": elementwise("FLOOR"),
    "Greater": elementwise("GREATER"),
    "GreaterOrEqual": elementwise("GREATER_EQUAL"),
    "LeakyRelu": arithmetic.leaky,
    "Less": elementwise("LESS"),
    "LessOrEqual": elementwise("LESS_EQUAL"),
    "Log": elementwise("LOG"),
    "Max": several("MAXIMUM", "MaximumMinimumOptions"),
    "Min": several("MINIMUM", "MaximumMinimumOptions"),
    "Mod": arithmetic.modulo,
    "Mul": elementwise("MUL", "MulOptions", fuses=True),
    "Neg": elementwise("NEG"),
    "Not": elementwise("LOGICAL_NOT"),
    "Or": elementwise("LOGICAL_OR"),
    "Relu": elementwise("RELU"),
    "Sigmoid": elementwise("LOGISTIC"),
    "Sqrt": elementwise("SQRT"),
    "Sub": elementwise("SUB", "SubOptions", fuses=True),
    "Tanh": elementwise("TANH"),
    "Where": shapes.chosen,
    # Over an axis.
    "GlobalAveragePool": arithmetic.whole_mean,
    "LogSoftmax": along("LOG_SOFTMAX", "LogSoftmaxOptions"),
    "ReduceL2": arithmetic.norm,
    "ReduceMax": reduction("REDUCE_MAX"),
    "ReduceMean": reduction("MEAN"),
    "ReduceMin": reduction("REDUCE_MIN"),
    "ReduceSum": reduction("SUM"),
    "Softmax": along("SOFTMAX", "SoftmaxOptions", beta=1.0),
    "TopK": arithmetic.best,
    # Moved, cut and joined.
    "Concat": shapes.join,
    "Expand": shapes.expand,
    "Flatten": shapes.reshape,
    "Gather": shapes.gather,
    "Identity": shapes.same,
    "Reshape": shapes.reshape,
    "Slice": shapes.cut,
    "Split": shapes.split,
    "Squeeze": shapes.reshape,
    "Transpose": shapes.rename_axes,
    "Unsqueeze": shapes.reshape,
    # Integers that stand for real numbers.
    "DequantizeLinear": int8.dequantise,
    ENTRY: int8.enter,
    "QuantizeLinear": int8.quantise,
}
