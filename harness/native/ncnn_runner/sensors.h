// Readings of this machine from /proc and /sys; what cannot be read is left out.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

struct State {
    std::optional<double> load_average;
    std::map<std::string, int64_t> frequencies_khz;
    std::map<std::string, double> temperatures_celsius;
};

State state();
