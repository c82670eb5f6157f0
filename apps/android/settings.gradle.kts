// Gradle was not run where this was written: no machine of the project reaches Google's Maven. tests/apps checks the sources
// with kotlinc and the resources with aapt2 instead, and compares every version with apps/versions.toml.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google() // LiteRT
        mavenCentral()
    }
}

rootProject.name = "edge"
include(":core", ":app")
