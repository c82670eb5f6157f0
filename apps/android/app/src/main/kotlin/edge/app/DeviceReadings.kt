package edge.app

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.net.ConnectivityManager
import android.net.NetworkCapabilities
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import edge.core.app.DeviceRecord
import edge.core.app.DeviceState
import edge.core.policy.Device
import edge.core.policy.Network
import edge.core.policy.Thermal

private const val HEADROOM_S = 10
private const val TENTHS = 10.0

/** What the phone tells of itself; every reading that it does not give is unknown. */
class DeviceReadings(private val context: Context) {
    private val power = context.getSystemService(PowerManager::class.java)
    private val activities = context.getSystemService(ActivityManager::class.java)
    private val connectivity = context.getSystemService(ConnectivityManager::class.java)

    /** Read what the policy wants to know of the device. */
    fun device(): Device {
        val memory = memory()
        val battery = battery()
        return Device(
            availableBytes = memory.availMem,
            thermal = thermal(),
            thermalHeadroom = headroom(),
            batteryPercent = battery?.percent,
            charging = battery?.charging,
            lowPower = power.isPowerSaveMode,
        )
    }

    /** Read what the policy wants to know of the network; times are the client's own to measure. */
    fun network(): Network {
        val network = connectivity.activeNetwork
        val able = connectivity.getNetworkCapabilities(network) ?: return Network()
        return Network(
            online = able.hasCapability(NetworkCapabilities.NET_CAPABILITY_VALIDATED),
            metered = !able.hasCapability(NetworkCapabilities.NET_CAPABILITY_NOT_METERED),
        )
    }

    /** Read what profile.json says of the device. */
    fun record(): DeviceRecord = DeviceRecord(
        name = "${Build.MANUFACTURER} ${Build.MODEL}",
        soc = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) Build.SOC_MODEL else "",
        system = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})",
        machine = System.getProperty("os.arch").orEmpty(),
        cores = Runtime.getRuntime().availableProcessors(),
        ramBytes = memory().totalMem,
        emulated = Build.HARDWARE in EMULATORS,
    )

    /** Read what disturbs a measurement, `atS` seconds after it began. */
    fun state(atS: Double): DeviceState {
        val battery = battery()
        return DeviceState(atS, thermal().code, battery?.celsius, battery?.percent, battery?.charging)
    }

    private fun memory() = ActivityManager.MemoryInfo().also(activities::getMemoryInfo)

    private fun thermal(): Thermal {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return Thermal.UNKNOWN
        return when (power.currentThermalStatus) {
            PowerManager.THERMAL_STATUS_NONE -> Thermal.NONE
            PowerManager.THERMAL_STATUS_LIGHT -> Thermal.LIGHT
            PowerManager.THERMAL_STATUS_MODERATE -> Thermal.MODERATE
            PowerManager.THERMAL_STATUS_SEVERE -> Thermal.SEVERE
            PowerManager.THERMAL_STATUS_CRITICAL -> Thermal.CRITICAL
            PowerManager.THERMAL_STATUS_EMERGENCY -> Thermal.EMERGENCY
            PowerManager.THERMAL_STATUS_SHUTDOWN -> Thermal.SHUTDOWN
            else -> Thermal.UNKNOWN
        }
    }

    private fun headroom(): Double? {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.R) return null
        val headroom = power.getThermalHeadroom(HEADROOM_S) // NaN where it is not supported or asked too often
        return if (headroom.isFinite() && headroom >= 0) headroom.toDouble() else null
    }

    private class Battery(val percent: Double?, val charging: Boolean?, val celsius: Double?)

    private fun battery(): Battery? {
        val intent = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED)) ?: return null
        val level = intent.getIntExtra(BatteryManager.EXTRA_LEVEL, -1)
        val scale = intent.getIntExtra(BatteryManager.EXTRA_SCALE, -1)
        val plugged = intent.getIntExtra(BatteryManager.EXTRA_PLUGGED, -1)
        val heat = intent.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Int.MIN_VALUE)
        return Battery(
            percent = if (level >= 0 && scale > 0) 100.0 * level / scale else null,
            charging = if (plugged >= 0) plugged != 0 else null,
            celsius = if (heat != Int.MIN_VALUE) heat / TENTHS else null,
        )
    }

    private companion object {
        val EMULATORS = setOf("ranchu", "goldfish", "cutf_cvm")
    }
}
