package edge.app

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Matrix
import android.graphics.Paint
import android.util.AttributeSet
import android.view.View
import edge.core.app.Pen
import edge.core.app.Placement
import edge.core.app.Scene
import edge.core.app.copyTo
import edge.core.app.drawPose
import edge.core.app.fitted
import edge.core.decode.Pose

/** Draw what a pipeline saw, over the preview. */
class OverlayView(context: Context, attributes: AttributeSet) : View(context, attributes) {
    private val lock = Any()
    private val pen = CanvasPen()
    private val filtered = Paint(Paint.FILTER_BITMAP_FLAG)
    private val matrix = Matrix()
    private val pose = Pose()
    private var pictureWidth = 0
    private var pictureHeight = 0
    private var layer: Bitmap? = null
    private var hasLayer = false
    private var toldFound: Boolean? = null // of the thread that shows

    /** Take a copy of the scene and draw it soon; any thread. */
    fun show(scene: Scene) {
        synchronized(lock) {
            pictureWidth = scene.width
            pictureHeight = scene.height
            scene.pose.copyTo(pose)
            hasLayer = scene.hasLayer
            if (hasLayer) {
                val (width, height) = scene.width to scene.height
                layer(width, height).setPixels(scene.layer, 0, width, 0, 0, width, height)
            }
        }
        postInvalidateOnAnimation()
        if (!scene.hasLayer && scene.pose.found != toldFound) describe(scene.pose.found)
    }

    /** Show nothing; any thread. */
    fun clear() {
        synchronized(lock) { pictureWidth = 0 }
        postInvalidateOnAnimation()
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        synchronized(lock) {
            if (pictureWidth == 0 || pictureHeight == 0) return
            val place = fitted(pictureWidth, pictureHeight, width, height)
            if (hasLayer) layer?.let { canvas.drawBitmap(it, matrix.of(place), filtered) }
            drawPose(pen.on(canvas), pose, place, pictureWidth, pictureHeight)
        }
    }

    /** Tell people who do not see the skeleton whether there is one. */
    private fun describe(found: Boolean) {
        toldFound = found
        post { contentDescription = context.getString(if (found) R.string.people_found else R.string.nobody_found) }
    }

    private fun layer(width: Int, height: Int): Bitmap {
        val before = layer
        if (before != null && before.width == width && before.height == height) return before
        return Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).also { layer = it }
    }
}

/** The core's pen on Android's canvas. */
private class CanvasPen : Pen {
    private val line = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        style = Paint.Style.STROKE
        strokeCap = Paint.Cap.ROUND
    }
    private val fill = Paint(Paint.ANTI_ALIAS_FLAG)
    private var canvas: Canvas? = null

    fun on(canvas: Canvas): CanvasPen {
        this.canvas = canvas
        return this
    }

    override fun line(x0: Float, y0: Float, x1: Float, y1: Float, width: Float, argb: Int) {
        line.color = argb
        line.strokeWidth = width
        canvas?.drawLine(x0, y0, x1, y1, line)
    }

    override fun disc(x: Float, y: Float, radius: Float, argb: Int) {
        fill.color = argb
        canvas?.drawCircle(x, y, radius, fill)
    }
}

private fun Matrix.of(place: Placement): Matrix = apply {
    setScale(place.scale, place.scale)
    postTranslate(place.left, place.top)
}
