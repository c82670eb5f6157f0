"""What Android's shell prints on phones of several makers and versions."""

from __future__ import annotations

# The shapes of real dumps, shortened; the values are ours.
PIXEL_14 = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=71.0, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=39.9, mType=3, mName=VIRTUAL-SKIN, mStatus=1}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 2  connected: yes
Current temperatures from HAL:
\tTemperature{mValue=38.087505, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
\tTemperature{mValue=20.623001, mType=-1, mName=neutral_therm, mStatus=0}
\tTemperature{mValue=0.0, mType=4, mName=VIRTUAL-USB-UI, mStatus=0}
\tTemperature{mValue=8900.0, mType=7, mName=soft_ocp_gpu, mStatus=0}
\tTemperature{mValue=-1.8060001, mType=-1, mName=USB2-MINUS-QI, mStatus=0}
\tTemperature{mValue=29.2, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=61.000004, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=37.0, mType=9, mName=TPU, mStatus=0}
\tTemperature{mValue=19.0, mType=8, mName=soc, mStatus=0}
\tTemperature{mValue=NaN, mType=3, mName=broken, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=5, mName=tpu_cooling}
Temperature static thresholds from HAL:
\tTemperatureThreshold{mType=3, mName=VIRTUAL-SKIN, mHotThrottlingThresholds=[NaN, 39.0, 43.0, 45.0, 46.5, 52.0, 55.0]}
"""
GALAXY_10 = """IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
 Temperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
HAL Ready: true
HAL connection:
\tSdhms connected: yes
Current temperatures from HAL:
\tTemperature{mValue=24.0, mType=1, mName=TYPE_CPU, mStatus=0}
\tTemperature{mValue=24.4, mType=3, mName=TYPE_BATTERY, mStatus=0}
\tTemperature{mValue=25.3, mType=4, mName=TYPE_SKIN, mStatus=0}
\tTemperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=TYPE_CPU}
"""
GALAXY_13 = """Thermal Status: 3
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=41.5, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=33.1, mType=2, mName=BAT, mStatus=0}
\tTemperature{mValue=36.4, mType=3, mName=SKIN, mStatus=3}
\tTemperature{mValue=0.0, mType=5, mName=PA, mStatus=0}
"""
WITHOUT_HAL = """IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
HAL Ready: false
"""
BATTERY_7 = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  status: 5
  health: 2
  present: true
  level: 100
  scale: 100
  voltage: 4352
  temperature: 274
  technology: Li-ion
"""
BATTERY_14 = """Current Battery Service state:
  AC powered: false
  USB powered: false
  Wireless powered: false
  Dock powered: false
  Max charging current: 0
  Charge counter: 2483000
  status: 3
  health: 2
  present: true
  level: 67
  scale: 100
  voltage: 3964
  temperature: 337
  technology: Li-poly
  Charging state: 0
  Capacity level: -1
[EventLogBuffer]
08-11 18:34:14.721  Sending ACTION_BATTERY_CHANGED: level:72, health:2, voltage:4120, temperature:345
  level: 12
"""
EMULATOR = """Current Battery Service state:
  AC powered: true
  status: 2
  present: true
  level: 89
  scale: 100
  voltage: 0
  temperature: 0
"""
SAMSUNG_CPUFREQ = """/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq 2002000
/sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq 2002000
/sys/devices/system/cpu/cpu6/cpufreq/cpuinfo_max_freq 2600000
/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor schedutil
/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor schedutil
/sys/devices/system/cpu/cpu6/cpufreq/scaling_governor performance
/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq 533000
/sys/devices/system/cpu/cpu6/cpufreq/scaling_cur_freq 2600000
"""
