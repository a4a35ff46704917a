"""Swift programs for each target, in which ``$NAME`` stands for a value."""

from __future__ import annotations

from typing import Final

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

/// The outputs for an upright image, by name; Vision makes the square.
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

    /// The outputs for an upright image.
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

    /// The outputs for RGB bytes of an upright image of any size.
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

    /// The $COUNT outputs for an upright image.
    func run(_ image: CGImage) throws -> [Value] {
        let images = Tensor<UInt8>(squareBytes(image), shape: [1, $SIDE, $SIDE, 3])
        return try module.forward(images)
    }
}
"""
    + _SWIFT_SQUARE,
}
