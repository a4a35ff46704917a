"""Texts of the programs for each language and target, in which ``$NAME`` stands for a value."""

from __future__ import annotations

from typing import Final

_PYTHON_TAIL = '''

def main() -> None:
    """Print the outputs for an image, ranked by the labels where there is one for each."""
    outputs = answer(Image.open(sys.argv[1]).convert("RGB"))
    labels = (HERE / "labels.txt").read_text(encoding="utf-8").splitlines()
    for name, value in outputs.items():
        print(name, value.shape)
        if value.ndim == 1 and len(value) == len(labels) and value.dtype == np.float32:
            for k in value.argsort()[::-1][:5]:
                print(f"  {value[k]:.3f} {labels[k]}")
    if "boxes" in outputs:
        for box, score, label in zip(outputs["boxes"], outputs["scores"], outputs["labels"]):
            if label > 0:
                print(f"  {score:.3f} {labels[label - 1]} {box.round(1).tolist()}")


if __name__ == "__main__":
    main()
'''
_PYTHON_SQUARE = '''
SIDE, SHORT, WHOLE, KEEP_ASPECT = $SIDE, $SHORT, $WHOLE, $KEEP_ASPECT


def square(image: Image.Image) -> np.ndarray:
    """The square (SIDE, SIDE, 3) that the network sees."""
    width, height = image.size
    if WHOLE:
        import cv2  # Resizes without antialiasing, as in training.

        scale = SIDE / max(width, height)
        sides = (round(width * scale), round(height * scale)) if KEEP_ASPECT else (SIDE, SIDE)
        filled = np.full((SIDE, SIDE, 3), (124, 116, 104), np.uint8)
        filled[: sides[1], : sides[0]] = cv2.resize(np.asarray(image), sides)
        return filled
    sides = (width * SHORT // min(width, height), height * SHORT // min(width, height))
    left, top = round((sides[0] - SIDE) / 2), round((sides[1] - SIDE) / 2)
    resized = image.resize(sides, Image.Resampling.$FILTER)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))


def in_pixels(outputs: dict[str, np.ndarray], image: Image.Image) -> dict[str, np.ndarray]:
    """Outputs with boxes in pixels of the image instead of shares of the square."""
    if "boxes" in outputs:
        scale = [max(image.size)] * 4 if KEEP_ASPECT else [*image.size, *image.size]
        outputs["boxes"] = outputs["boxes"] * np.array(scale, np.float32)
    return outputs
'''
_PYTHON_HEAD = '''"""Answer for an image: python model.py IMAGE

Outputs of $FILE, of which the first axis is dropped:
"""
$HASH_ABOUT

import sys
from pathlib import Path

import numpy as np
from PIL import Image
'''

PYTHON: Final = {
    "litert": _PYTHON_HEAD
    + """from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).resolve().parent
INTERPRETER = Interpreter(model_path=str(HERE / "$FILE"), num_threads=1)
INTERPRETER.allocate_tensors()
RUN = INTERPRETER.get_signature_runner()
"""
    + _PYTHON_SQUARE
    + '''

def answer(image: Image.Image) -> dict[str, np.ndarray]:
    """The outputs for an image, by name."""
    found = RUN(images=square(image)[None])
    return in_pixels({name: value[0] for name, value in found.items()}, image)
'''
    + _PYTHON_TAIL,
    "onnx": _PYTHON_HEAD
    + '''from onnxruntime import InferenceSession, SessionOptions

HERE = Path(__file__).resolve().parent
OPTIONS = SessionOptions()
OPTIONS.intra_op_num_threads = 1
SESSION = InferenceSession(HERE / "$FILE", OPTIONS, providers=["CPUExecutionProvider"])
OUTPUTS = $OUTPUT_LIST


def answer(image: Image.Image) -> dict[str, np.ndarray]:
    """The outputs for an image of any size, by name."""
    found = SESSION.run(OUTPUTS, {"images": np.asarray(image)[None]})
    return {name: value[0] for name, value in zip(OUTPUTS, found)}
'''
    + _PYTHON_TAIL,
    "executorch": _PYTHON_HEAD
    + """import torch
from executorch.runtime import Runtime

HERE = Path(__file__).resolve().parent
FORWARD = Runtime.get().load_program(HERE / "$FILE").load_method("forward")
OUTPUTS = $OUTPUT_LIST
"""
    + _PYTHON_SQUARE
    + '''

def answer(image: Image.Image) -> dict[str, np.ndarray]:
    """The outputs for an image, by name."""
    found = FORWARD.execute([torch.tensor(square(image)[None])])
    return in_pixels({name: np.asarray(v)[0] for name, v in zip(OUTPUTS, found)}, image)
'''
    + _PYTHON_TAIL,
}

_KOTLIN_SQUARE = """
    /** RGB bytes of the square: the centre, or the whole image warped. */
    private fun square(image: Bitmap): ByteBuffer {
        val side = $SIDE
        val fitted = if ($CENTRE) {
            val short = $SHORT
            val least = minOf(image.width, image.height)
            val scaled = Bitmap.createScaledBitmap(
                image, image.width * short / least, image.height * short / least, true)
            Bitmap.createBitmap(
                scaled, (scaled.width - side) / 2, (scaled.height - side) / 2, side, side)
        } else Bitmap.createScaledBitmap(image, side, side, true)
        val pixels = IntArray(side * side)
        fitted.getPixels(pixels, 0, side, 0, 0, side, side)
        val bytes = ByteBuffer.allocateDirect(3 * pixels.size)
        for (pixel in pixels) {
            for (shift in intArrayOf(16, 8, 0)) bytes.put((pixel shr shift).toByte())
        }
        bytes.rewind()
        return bytes
    }
"""

KOTLIN: Final = {
    "litert": """
// implementation("com.google.ai.edge.litert:litert:1.4.0"); $FILE and labels.txt go to assets.
// Outputs; boxes are shares of the square:
$SLASH_ABOUT
import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

class Model(context: Context) {
    private val file = context.assets.open("$FILE").readBytes().let { bytes ->
        ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).put(bytes)
    }
    private val interpreter = Interpreter(file, Interpreter.Options().setNumThreads(1))
    val labels = context.assets.open("labels.txt").bufferedReader().readLines()
$KOTLIN_ARRAYS

    /** Computes the outputs above for an image. */
    fun run(image: Bitmap) {
        interpreter.runSignature(mapOf("images" to square(image)), mapOf($KOTLIN_MAP))
    }
"""
    + _KOTLIN_SQUARE
    + "}\n",
    "onnx": """
// implementation("com.microsoft.onnxruntime:onnxruntime-android"); $FILE goes to assets.
// Outputs:
$SLASH_ABOUT
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer

class Model(context: Context) {
    private val environment = OrtEnvironment.getEnvironment()
    private val session =
        environment.createSession(context.assets.open("$FILE").readBytes())
    val labels = context.assets.open("labels.txt").bufferedReader().readLines()

    /** Outputs for an image of any size, by name. */
    fun run(image: Bitmap): Map<String, Any> {
        val pixels = IntArray(image.width * image.height)
        image.getPixels(pixels, 0, image.width, 0, 0, image.width, image.height)
        val bytes = ByteBuffer.allocateDirect(3 * pixels.size)
        for (pixel in pixels) {
            for (shift in intArrayOf(16, 8, 0)) bytes.put((pixel shr shift).toByte())
        }
        bytes.rewind()
        val shape = longArrayOf(1, image.height.toLong(), image.width.toLong(), 3)
        OnnxTensor.createTensor(environment, bytes, shape, OnnxJavaType.UINT8).use { images ->
            session.run(mapOf("images" to images)).use { found ->
                return found.associate { it.key to it.value.value }
            }
        }
    }
}
""",
    "executorch": """
// implementation("org.pytorch:executorch-android"); $FILE is a file of the app.
// Outputs, in their order; boxes are shares of the square:
$SLASH_ABOUT
import android.graphics.Bitmap
import java.nio.ByteBuffer
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

class Model(path: String) {
    private val module = Module.load(path)

    /** The $COUNT outputs for an image. */
    fun run(image: Bitmap): List<Tensor> {
        val shape = longArrayOf(1, $SIDE, $SIDE, 3)
        val images = Tensor.fromBlobUnsigned(square(image), shape)
        return module.forward(EValue.from(images)).map { it.toTensor() }
    }
"""
    + _KOTLIN_SQUARE
    + "}\n",
}

_SWIFT_SQUARE = """
/// RGB bytes of the square: the centre, or the whole image warped.
func squareBytes(_ image: CGImage) -> [UInt8] {
    let side = $SIDE, short = CGFloat($SHORT), centre = $CENTRE
    var place = CGRect(x: 0, y: 0, width: side, height: side)
    if centre {
        let scale = short / CGFloat(min(image.width, image.height))
        let size = CGSize(
            width: CGFloat(image.width) * scale, height: CGFloat(image.height) * scale)
        place = CGRect(
            x: (CGFloat(side) - size.width) / 2, y: (CGFloat(side) - size.height) / 2,
            width: size.width, height: size.height)
    }
    var rgba = [UInt8](repeating: 0, count: 4 * side * side)
    rgba.withUnsafeMutableBytes { bytes in
        let context = CGContext(
            data: bytes.baseAddress, width: side, height: side, bitsPerComponent: 8,
            bytesPerRow: 4 * side, space: CGColorSpaceCreateDeviceRGB(),
            bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
        context.interpolationQuality = .high
        context.draw(image, in: place)
    }
    return (0..<side * side).flatMap { rgba[4 * $$0..<4 * $$0 + 3] }
}
"""

SWIFT: Final = {
    "coreml": """
// Drag $FILE into Xcode, which compiles it into the app.
// Outputs; boxes are shares of the square. A classifier has classLabel and classLabel_probs:
$SLASH_ABOUT
import CoreML
import Vision

/// The outputs for an image, by name; Vision makes the square.
final class Model {
    private let request: VNCoreMLRequest

    init() throws {
        let place = Bundle.main.url(forResource: "$STEM", withExtension: "mlmodelc")!
        request = VNCoreMLRequest(model: try VNCoreMLModel(for: MLModel(contentsOf: place)))
        request.imageCropAndScaleOption = $CENTRE ? .centerCrop : .scaleFill
    }

    func run(_ image: CGImage) throws -> [VNObservation] {
        try VNImageRequestHandler(cgImage: image).perform([request])
        return request.results ?? []
    }
}
""",
    "litert": """
// pod 'TensorFlowLiteSwift'; $FILE and labels.txt go into the app's bundle.
// Outputs; boxes are shares of the square:
$SLASH_ABOUT
import CoreGraphics
import Foundation
import TensorFlowLite

struct Answer {
$SWIFT_FIELDS
}

final class Model {
    private let interpreter: Interpreter

    init() throws {
        var options = Interpreter.Options()
        options.threadCount = 1
        let path = Bundle.main.path(forResource: "$STEM", ofType: "$SUFFIX")!
        interpreter = try Interpreter(modelPath: path, options: options)
        try interpreter.allocateTensors()
    }

    /// The outputs for an image.
    func run(_ image: CGImage) throws -> Answer {
        try interpreter.copy(Data(squareBytes(image)), toInputAt: 0)
        try interpreter.invoke()
        var answer = Answer()
$SWIFT_READS
        return answer
    }

    private func read<Element>(_ index: Int) throws -> [Element] {
        try interpreter.output(at: index).data.withUnsafeBytes {
            Array($$0.bindMemory(to: Element.self))
        }
    }
}
"""
    + _SWIFT_SQUARE,
    "onnx": """
// pod 'onnxruntime-objc'; $FILE and labels.txt go into the app's bundle.
// Outputs:
$SLASH_ABOUT
import CoreGraphics
import Foundation
import onnxruntime_objc

struct Answer {
$SWIFT_FIELDS
}

final class Model {
    private let environment = try! ORTEnv(loggingLevel: .warning)
    private let session: ORTSession

    init() throws {
        let path = Bundle.main.path(forResource: "$STEM", ofType: "$SUFFIX")!
        session = try ORTSession(env: environment, modelPath: path, sessionOptions: nil)
    }

    /// The outputs for RGB bytes of an image of any size.
    func run(_ bytes: [UInt8], width: Int, height: Int) throws -> Answer {
        let images = try ORTValue(
            tensorData: NSMutableData(data: Data(bytes)), elementType: .uInt8,
            shape: [1, NSNumber(value: height), NSNumber(value: width), 3])
        let found = try session.run(
            withInputs: ["images": images], outputNames: Set($OUTPUT_LIST), runOptions: nil)
        func read<Element>(_ name: String) throws -> [Element] {
            let data = try found[name]!.tensorData() as Data
            return data.withUnsafeBytes { Array($$0.bindMemory(to: Element.self)) }
        }
        var answer = Answer()
$SWIFT_ORT_READS
        return answer
    }
}
""",
    "executorch": """
// Add the Swift package executorch; $FILE goes into the app's bundle.
// Outputs, in their order; boxes are shares of the square:
$SLASH_ABOUT
import CoreGraphics
import ExecuTorch
import Foundation

final class Model {
    private let module: Module

    init() throws {
        let path = Bundle.main.path(forResource: "$STEM", ofType: "$SUFFIX")!
        module = Module(filePath: path)
        try module.load("forward")
    }

    /// The $COUNT outputs for an image.
    func run(_ image: CGImage) throws -> [Value] {
        let images = Tensor<UInt8>(squareBytes(image), shape: [1, $SIDE, $SIDE, 3])
        return try module.forward(images)
    }
}
"""
    + _SWIFT_SQUARE,
}

_CPP_SHOW = """
template <typename Value>
void show(const char* name, const Value* values, std::size_t count) {
    std::cout << name << ':';
    for (std::size_t k = 0; k < count; ++k) std::cout << ' ' << +values[k];
    std::cout << '\\n';
}

"""
_CPP_READ = """    std::ifstream file(argv[2], std::ios::binary);
    std::string kind;
    std::int64_t width = 0, height = 0, most = 0;
    file >> kind >> width >> height >> most;
    file.get();
    if (!file || kind != "P6" || most != 255) {
        std::cerr << argv[2] << ": not a binary PPM file of 8 bits\\n";
        return 2;
    }
    std::vector<std::uint8_t> image(static_cast<std::size_t>(3 * width * height));
    file.read(reinterpret_cast<char*>(image.data()), static_cast<std::streamsize>(image.size()));
"""
_CPP_HEADERS = """#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>
"""
_CPP_MAIN = """int main(int argc, char** argv) {
    if (argc != 3) {
        std::cerr << "usage: model $FILE image.ppm\\n";
        return 2;
    }
"""
_CPP_SIDES = """    if (width != $SIDE || height != $SIDE) {
        std::cerr << argv[2] << ": not $SIDE x $SIDE pixels: make the square first\\n";
        return 2;
    }
"""

CPP: Final = {
    "onnx": """
// g++ -std=c++17 model.cpp -I onnxruntime/include -L onnxruntime/lib -lonnxruntime -o model
// Outputs for an image of any size:
$SLASH_ABOUT
#include <onnxruntime_cxx_api.h>

#include <array>
"""
    + _CPP_HEADERS
    + _CPP_SHOW
    + _CPP_MAIN
    + _CPP_READ
    + """    Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "model");
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    Ort::Session session(env, argv[1], options);
    const std::array<std::int64_t, 4> shape{1, height, width, 3};
    auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    auto images = Ort::Value::CreateTensor<std::uint8_t>(
        memory, image.data(), image.size(), shape.data(), shape.size());
    const char* inputs[] = {"images"};
    const char* outputs[] = {$CPP_NAMES};
    auto found = session.Run(Ort::RunOptions{nullptr}, inputs, &images, 1, outputs, $COUNT);
$CPP_PRINTS
}
""",
    "litert": """
// Link with TensorFlow Lite (LiteRT). The image is a square of $SIDE x $SIDE pixels.
// Outputs; boxes are shares of the square:
$SLASH_ABOUT
#include <tensorflow/lite/interpreter_builder.h>
#include <tensorflow/lite/kernels/register.h>
#include <tensorflow/lite/model_builder.h>

#include <algorithm>
#include <memory>
"""
    + _CPP_HEADERS
    + _CPP_SHOW
    + _CPP_MAIN
    + _CPP_READ
    + _CPP_SIDES
    + """    auto model = tflite::FlatBufferModel::BuildFromFile(argv[1]);
    tflite::ops::builtin::BuiltinOpResolver operators;
    std::unique_ptr<tflite::Interpreter> interpreter;
    if (!model || tflite::InterpreterBuilder(*model, operators)(&interpreter, 1) != kTfLiteOk ||
        interpreter->AllocateTensors() != kTfLiteOk) {
        std::cerr << argv[1] << ": cannot be loaded\\n";
        return 1;
    }
    std::copy(image.begin(), image.end(), interpreter->typed_input_tensor<std::uint8_t>(0));
    if (interpreter->Invoke() != kTfLiteOk) return 1;
$CPP_PRINTS
}
""",
    "executorch": """
// Link with ExecuTorch's extension_module_static and xnnpack_backend.
// The image is a square of $SIDE x $SIDE pixels. Outputs; boxes are shares of the square:
$SLASH_ABOUT
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

"""
    + _CPP_HEADERS
    + _CPP_SHOW
    + _CPP_MAIN
    + _CPP_READ
    + _CPP_SIDES
    + """    executorch::extension::Module module(argv[1]);
    auto images = executorch::extension::from_blob(
        image.data(), {1, $SIDE, $SIDE, 3}, executorch::aten::ScalarType::Byte);
    auto found = module.forward(images);
    if (!found.ok()) return 1;
$CPP_PRINTS
}
""",
}
