package edge.core.app

import edge.core.client.Engine
import edge.core.decode.ClassLayer
import edge.core.decode.LANDMARK_NAMES
import edge.core.decode.MaskLayer
import edge.core.decode.PanopticTask
import edge.core.decode.PoseDetection
import edge.core.decode.PoseLandmarks
import edge.core.decode.SegmentationTask
import edge.core.image.Frame
import edge.core.image.Preprocessor
import edge.core.image.Region
import edge.core.image.Source
import edge.core.image.Times
import edge.core.image.Turn
import edge.core.manifest.Contract
import edge.core.manifest.ContractError
import edge.core.smoothing.LandmarkSmoother
import edge.core.smoothing.RegionTracker

/** A model that is ready: what it takes and returns, and what runs it. */
class ReadyModel(val contract: Contract, val engine: Engine)

/** Look at pictures one after the other; one thread. */
interface Pipeline {
    /**
     * Fill the scene with what is in the picture, `timeNs` after some beginning, and return it; `times` gets the stages.
     *
     * Raises what the engine raises.
     */
    fun look(source: Source, turn: Turn, timeNs: Long, times: Times): Scene
}

/** Return the pipeline of a task; `detector` finds people for landmarks. Raises ContractError for other tasks. */
fun pipelineOf(model: ReadyModel, detector: ReadyModel?): Pipeline = when (model.contract.task) {
    "pose-landmarks" -> PosePipeline(
        detector ?: throw ContractError("landmarks need a detector; embed an artifact of the task pose-detection too"),
        model,
    )
    "segmentation" -> SegmentationPipeline(model)
    "panoptic" -> PanopticPipeline(model)
    else -> throw ContractError("the camera has no screen for the task '${model.contract.task}'")
}

/** One model's steps on a picture, with the times of the last one in nanoseconds. */
private class Stage(private val model: ReadyModel) {
    private val spec = model.contract.inputs.single()
    private val preprocessor = Preprocessor(
        spec,
        model.contract.preprocess ?: throw ContractError("${spec.name}: the contract has no preprocess"),
    )
    private val values = FloatArray(Math.toIntExact(spec.elements))
    private val inputs = mapOf(spec.name to values)
    val frame = Frame()
    var preNs = 0L
        private set
    var inferenceNs = 0L
        private set

    fun run(source: Source, region: Region?, turn: Turn): Map<String, FloatArray> {
        val began = System.nanoTime()
        preprocessor.run(source, region, values, frame, turn)
        val ready = System.nanoTime()
        val outputs = model.engine.run(inputs)
        preNs = ready - began
        inferenceNs = System.nanoTime() - ready
        return outputs
    }
}

/** Find a person and follow them: the detector runs only while nobody is followed. */
class PosePipeline(detector: ReadyModel, landmarks: ReadyModel) : Pipeline {
    private val finding = Stage(detector)
    private val placing = Stage(landmarks)
    private val detection = PoseDetection(detector.contract)
    private val placement = PoseLandmarks(landmarks.contract)
    private val tracker = RegionTracker()
    private val smoother = LandmarkSmoother(LANDMARK_NAMES.size)
    private val scene = Scene()

    override fun look(source: Source, turn: Turn, timeNs: Long, times: Times): Scene {
        scene.begin(source, turn)
        var preNs = 0L
        var inferenceNs = 0L
        var postNs = 0L
        if (tracker.region == null) {
            smoother.reset()
            val outputs = finding.run(source, null, turn)
            postNs += timed { tracker.begin(detection.decode(outputs, finding.frame).items.firstOrNull()?.region()) }
            preNs += finding.preNs
            inferenceNs += finding.inferenceNs
        }
        tracker.region?.let { region ->
            val outputs = placing.run(source, region, turn)
            postNs += timed { place(outputs, region, timeNs) }
            preNs += placing.preNs
            inferenceNs += placing.inferenceNs
        }
        times.add(preNs, inferenceNs, postNs)
        return scene
    }

    private fun place(outputs: Map<String, FloatArray>, region: Region, timeNs: Long) {
        val pose = placement.decode(outputs, placing.frame, scene.pose, withMask = false)
        tracker.follow(pose)
        if (pose.found) smoother.smooth(pose.points, pose.visibility, timeNs, region.side)
    }
}

/** Colour what belongs to each class. */
class SegmentationPipeline(model: ReadyModel) : Pipeline {
    private val stage = Stage(model)
    private val task = SegmentationTask(model.contract)
    private val classes = ClassLayer()
    private val mask = MaskLayer()
    private val scene = Scene()

    override fun look(source: Source, turn: Turn, timeNs: Long, times: Times): Scene {
        scene.begin(source, turn)
        val outputs = stage.run(source, null, turn)
        val postNs = timed {
            val found = task.decode(outputs, stage.frame)
            val probability = found.probability
            val layer = scene.makeLayer()
            if (probability != null) mask.draw(probability, layer) else classes.draw(found.classes, layer)
        }
        times.add(stage.preNs, stage.inferenceNs, postNs)
        return scene
    }
}

/** Colour every thing and every kind of stuff by itself. */
class PanopticPipeline(model: ReadyModel) : Pipeline {
    private val stage = Stage(model)
    private val task = PanopticTask(model.contract)
    private val layer = ClassLayer()
    private val scene = Scene()

    override fun look(source: Source, turn: Turn, timeNs: Long, times: Times): Scene {
        scene.begin(source, turn)
        val outputs = stage.run(source, null, turn)
        val postNs = timed { layer.draw(task.decode(outputs, stage.frame).ids, scene.makeLayer()) }
        times.add(stage.preNs, stage.inferenceNs, postNs)
        return scene
    }
}

private fun Scene.begin(source: Source, turn: Turn) {
    val isUpright = turn == Turn.NONE || turn == Turn.HALF
    begin(if (isUpright) source.width else source.height, if (isUpright) source.height else source.width)
}

private inline fun timed(work: () -> Unit): Long {
    val began = System.nanoTime()
    work()
    return System.nanoTime() - began
}
