package edge.app

import android.content.res.AssetManager
import edge.core.app.Assets
import java.io.InputStream

/** The files in the app's package, below assets/. */
class PackagedAssets(private val manager: AssetManager) : Assets {
    override fun list(folder: String): List<String> = manager.list(folder).orEmpty().toList()

    override fun open(path: String): InputStream = manager.open(path)
}
