// What a processor reaches in small kernels: the roof of a roofline.
#pragma once

#include <cstdint>
#include <string>

// Measure on so many threads (0: one per core) and return the event {"k":"peaks", …}.
std::string peaks_line(std::uint32_t threads);
