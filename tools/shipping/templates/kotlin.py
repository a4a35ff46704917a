"""Kotlin programs for each target, in which ``$NAME`` stands for a value."""

from __future__ import annotations

from typing import Final

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

    /** Computes the outputs above for an upright image. */
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

    /** Outputs for an upright image of any size, by name. */
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

    /** The $COUNT outputs for an upright image. */
    fun run(image: Bitmap): List<Tensor> {
        val shape = longArrayOf(1, $SIDE, $SIDE, 3)
        val images = Tensor.fromBlobUnsigned(square(image), shape)
        return module.forward(EValue.from(images)).map { it.toTensor() }
    }
"""
    + _KOTLIN_SQUARE
    + "}\n",
}
