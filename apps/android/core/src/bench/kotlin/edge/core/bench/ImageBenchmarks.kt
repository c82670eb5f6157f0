package edge.core.bench

import edge.core.decode.ClassLayer
import edge.core.decode.MaskLayer
import edge.core.decode.Pose
import edge.core.decode.PoseLandmarks
import edge.core.decode.SegmentationTask
import edge.core.image.Frame
import edge.core.image.Picture
import edge.core.image.PlaneLayout
import edge.core.image.Preprocessor
import edge.core.image.Region
import edge.core.image.YuvFrame
import edge.core.manifest.Contract
import edge.core.manifest.Layout
import edge.core.manifest.Postprocess
import edge.core.manifest.Preprocess
import edge.core.manifest.Resize
import edge.core.manifest.SizeHw
import edge.core.manifest.TensorSpec
import edge.core.smoothing.LandmarkSmoother
import java.nio.ByteBuffer
import kotlin.math.sin
import kotlin.random.Random

private const val WIDTH = 1280
private const val HEIGHT = 720
private val random = Random(1)
private val picture = Picture(WIDTH, HEIGHT, random.nextBytes(WIDTH * HEIGHT * 3))
private val camera = YuvFrame()
private val turned = Region(640.3, 351.8, 487.6, 0.35)
private val frame = Frame()

/** What happens to every frame of a camera. */
fun main() {
    fillCamera()
    preprocessing()
    colouring()
    segmenting()
    placing()
}

private fun fillCamera() {
    val luma = directBytes(WIDTH * HEIGHT)
    val chroma = directBytes(WIDTH * HEIGHT / 2)
    val red = chroma.duplicate().position(1) as ByteBuffer
    val layouts = PlaneLayout(WIDTH, 1) to PlaneLayout(WIDTH, 2)
    camera.fill(WIDTH, HEIGHT, luma, chroma, red, layouts.first, layouts.second)
    benchmark("image/copy-camera-frame-1280x720") {
        camera.fill(WIDTH, HEIGHT, luma, chroma, red, layouts.first, layouts.second)
    }
}

private fun directBytes(size: Int): ByteBuffer =
    ByteBuffer.allocateDirect(size).put(random.nextBytes(size)).rewind() as ByteBuffer

private fun preprocessing() {
    val landmarks = preprocessor(256, Layout.NCHW)
    val last = preprocessor(256, Layout.NHWC)
    val detector = preprocessor(224, Layout.NCHW)
    val into = FloatArray(256 * 256 * 3)
    val small = FloatArray(224 * 224 * 3)
    benchmark("image/rgb-1280x720-to-256x256-turned") { landmarks.run(picture, turned, into, frame) }
    benchmark("image/rgb-1280x720-to-256x256-turned-nhwc") { last.run(picture, turned, into, frame) }
    benchmark("image/yuv-1280x720-to-256x256-turned") { landmarks.run(camera, turned, into, frame) }
    benchmark("image/rgb-1280x720-to-224x224-letterbox") { detector.run(picture, null, small, frame) }
    benchmark("image/yuv-1280x720-to-224x224-letterbox") { detector.run(camera, null, small, frame) }
}

private fun preprocessor(side: Int, layout: Layout): Preprocessor {
    val shape = if (layout == Layout.NCHW) listOf(1, 3, side, side) else listOf(1, side, side, 3)
    return Preprocessor(TensorSpec("image", shape, layout = layout), Preprocess(SizeHw(side, side), Resize.LETTERBOX))
}

private fun colouring() {
    val classes = ByteArray(WIDTH * HEIGHT) { (it / 90_000).toByte() }
    val probability = FloatArray(WIDTH * HEIGHT) { (sin(it / 500.0) / 2 + 0.5).toFloat() }
    val into = IntArray(WIDTH * HEIGHT)
    val classLayer = ClassLayer(21)
    val maskLayer = MaskLayer()
    benchmark("decode/colour-classes-1280x720") { classLayer.draw(classes, into) }
    benchmark("decode/colour-mask-1280x720") { maskLayer.draw(probability, into) }
}

private fun segmenting() {
    frame.setStretch(WIDTH, HEIGHT, 256, 256)
    val person = task(1, "probability")
    val voc = task(21, "logits")
    val mask = mapOf("scores" to FloatArray(256 * 256) { (sin(it / 900.0) / 2 + 0.5).toFloat() })
    val centres = List(21) { random.nextDouble(256.0) to random.nextDouble(256.0) }
    val logits = FloatArray(21 * 256 * 256) { index ->
        val (x, y) = centres[index / 65536]
        (-Math.hypot(index % 256 - x, index / 256 % 256 - y) / 10).toFloat()
    }
    val scores = mapOf("scores" to logits)
    benchmark("decode/mask-256x256-to-1280x720") { person.decode(mask, frame) }
    benchmark("decode/21-classes-256x256-to-1280x720") { voc.decode(scores, frame) }
}

private fun task(classes: Int, decoder: String): SegmentationTask {
    val image = TensorSpec("image", listOf(1, 3, 256, 256), layout = Layout.NCHW)
    val scores = TensorSpec("scores", listOf(1, classes, 256, 256), layout = Layout.NCHW)
    return SegmentationTask(Contract(listOf(image), listOf(scores), "segmentation", postprocess = Postprocess(decoder)))
}

private fun placing() {
    val image = TensorSpec("image", listOf(1, 3, 256, 256), layout = Layout.NCHW)
    val specs = listOf(
        TensorSpec("landmarks", listOf(1, 195)),
        TensorSpec("presence", listOf(1, 1)),
        TensorSpec("world", listOf(1, 117)),
        TensorSpec("heatmap", listOf(1, 39, 64, 64), layout = Layout.NCHW),
        TensorSpec("mask", listOf(1, 1, 256, 256), layout = Layout.NCHW),
    )
    val outputs = specs.associate { it.name to FloatArray(it.elements.toInt()) { random.nextFloat() * 256 } }
    val decoder = PoseLandmarks(Contract(listOf(image), specs, "pose-landmarks"))
    val pose = Pose()
    val smoother = LandmarkSmoother(33)
    var timeNs = 0L
    frame.setRegion(WIDTH, HEIGHT, 256, 256, turned)
    benchmark("decode/pose-without-mask") { decoder.decode(outputs, frame, pose, withMask = false) }
    benchmark("decode/pose-with-mask-1280x720") { decoder.decode(outputs, frame, pose) }
    benchmark("smoothing/33-landmarks") {
        timeNs += 33_333_333
        smoother.smooth(pose.points, pose.visibility, timeNs, turned.side)
    }
}
