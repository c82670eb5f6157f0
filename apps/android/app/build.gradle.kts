import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "edge.app"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        applicationId = "edge.app"
        minSdk = libs.versions.min.sdk.get().toInt()
        targetSdk = libs.versions.target.sdk.get().toInt()
        versionCode = 1
        versionName = "0.1.0"
        ndk { abiFilters += "arm64-v8a" }
    }

    buildTypes {
        release { isMinifyEnabled = false } // the runtimes' native code looks classes up by name
    }

    compileOptions {
        sourceCompatibility = JavaVersion.toVersion(libs.versions.jvm.target.get())
        targetCompatibility = JavaVersion.toVersion(libs.versions.jvm.target.get())
    }

    // Models are read in place or copied once; packing them again saves little and costs time.
    androidResources { noCompress += listOf("pte", "tflite", "onnx") }

    sourceSets["main"].kotlin.srcDir("src/main/kotlin")
}

kotlin {
    compilerOptions { jvmTarget = JvmTarget.fromTarget(libs.versions.jvm.target.get()) }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.executorch)
    implementation(libs.litert)
    implementation(libs.onnxruntime)
}
