package edge.core.app

import edge.core.decode.MaskLayer
import edge.core.json.JsonReader
import edge.core.json.parseJson
import java.awt.BasicStroke
import java.awt.Color
import java.awt.Font
import java.awt.Graphics2D
import java.awt.RenderingHints
import java.awt.geom.Ellipse2D
import java.awt.geom.Line2D
import java.awt.image.BufferedImage
import java.io.DataInputStream
import java.io.File
import javax.imageio.ImageIO

private const val WIDTH = 540
private const val HEIGHT = 960
private const val GAP = 24
private val GROUND = Color(0x10121c)
private val PANEL = Color(0xcc10121c.toInt(), true)

/** The app's pen, into a picture in memory. */
private class AwtPen(private val graphics: Graphics2D) : Pen {
    override fun line(x0: Float, y0: Float, x1: Float, y1: Float, width: Float, argb: Int) {
        graphics.color = Color(argb, true)
        graphics.stroke = BasicStroke(width, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND)
        graphics.draw(Line2D.Float(x0, y0, x1, y1))
    }

    override fun disc(x: Float, y: Float, radius: Float, argb: Int) {
        graphics.color = Color(argb, true)
        graphics.fill(Ellipse2D.Float(x - radius, y - radius, 2 * radius, 2 * radius))
    }
}

/** A screen with a picture in its middle and what the state panel says below. */
private class Screen(private val graphics: Graphics2D) {
    fun picture(photo: BufferedImage, scene: Scene) {
        graphics.color = GROUND
        graphics.fillRect(0, 0, WIDTH, HEIGHT)
        val place = fitted(scene.width, scene.height, WIDTH, HEIGHT)
        draw(photo, place)
        if (scene.hasLayer) {
            val layer = BufferedImage(scene.width, scene.height, BufferedImage.TYPE_INT_ARGB)
            layer.setRGB(0, 0, scene.width, scene.height, scene.layer, 0, scene.width)
            draw(layer, place)
        }
        drawPose(AwtPen(graphics), scene.pose, place, scene.width, scene.height)
    }

    fun says(lines: List<String>, button: String = "") {
        val top = HEIGHT - 56 - 26 * lines.size - if (button.isEmpty()) 0 else 60
        graphics.color = PANEL
        graphics.fillRect(0, top, WIDTH, HEIGHT - top)
        graphics.color = Color.WHITE
        lines.forEachIndexed { index, line ->
            graphics.font = Font(Font.SANS_SERIF, Font.PLAIN, 17)
            graphics.drawString(line, 20, top + 34 + 26 * index)
        }
        if (button.isEmpty()) return
        graphics.color = Color(0x3a3d4a)
        graphics.fillRoundRect(20, HEIGHT - 84, 210, 44, 6, 6)
        graphics.color = Color.WHITE
        graphics.drawString(button, 36, HEIGHT - 56)
    }

    private fun draw(image: BufferedImage, place: Placement) {
        val width = (image.width * place.scale).toInt()
        val height = (image.height * place.scale).toInt()
        graphics.drawImage(image, place.left.toInt(), place.top.toInt(), width, height, null)
    }
}

/**
 * Draw three screens into one picture: FOLDER/photo.png, pose.json and mask.bin → FOLDER/screens.png.
 *
 * The overlays are drawn by the app's own code; frames, panel and its text are a mock of Android's widgets.
 */
fun main(arguments: Array<String>) {
    val folder = File(arguments[0])
    val photo = ImageIO.read(File(folder, "photo.png"))
    val said = JsonReader(parseJson(File(folder, "said.json").readText())).members()
    val lines = { name: String -> said.getValue(name).items().map { it.string() } }
    val sheet = BufferedImage(3 * WIDTH + 2 * GAP, HEIGHT, BufferedImage.TYPE_INT_RGB)
    val graphics = sheet.createGraphics()
    graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON)
    graphics.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR)
    graphics.color = Color.WHITE
    graphics.fillRect(0, 0, sheet.width, sheet.height)
    val screen = Screen(graphics)
    screen.picture(photo, poseScene(photo, File(folder, "pose.json")))
    screen.says(lines("pose"))
    graphics.translate(WIDTH + GAP, 0)
    screen.picture(photo, maskScene(photo, File(folder, "mask.bin")))
    screen.says(lines("mask"))
    graphics.translate(WIDTH + GAP, 0)
    val nothing = Scene().apply { begin(photo.width, photo.height) }
    screen.picture(BufferedImage(photo.width, photo.height, BufferedImage.TYPE_INT_ARGB), nothing)
    screen.says(lines("tampered"), lines("button").single())
    ImageIO.write(sheet, "png", File(folder, "screens.png"))
}

private fun poseScene(photo: BufferedImage, from: File): Scene {
    val found = JsonReader(parseJson(from.readText())).members()
    return Scene().apply {
        begin(photo.width, photo.height)
        pose.score = found.getValue("score").double()
        found.getValue("points").items().forEachIndexed { index, value -> pose.points[index] = value.double() }
        found.getValue("visibility").items().forEachIndexed { index, value -> pose.visibility[index] = value.double() }
    }
}

/** Probabilities as big-endian floats, in the picture's size. */
private fun maskScene(photo: BufferedImage, from: File): Scene {
    val probability = FloatArray(photo.width * photo.height)
    DataInputStream(from.inputStream().buffered()).use { stream ->
        for (index in probability.indices) probability[index] = stream.readFloat()
    }
    return Scene().apply {
        begin(photo.width, photo.height)
        MaskLayer().draw(probability, makeLayer())
    }
}
