"""C++ programs for each target, in which ``$NAME`` stands for a value."""

from __future__ import annotations

from typing import Final

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
