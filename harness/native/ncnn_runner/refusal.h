// How a runner gives up.

#pragma once

#include <stdexcept>

// The job or the artifact is wrong; main says why on stderr and ends with exit code REFUSED.
struct Refusal : std::runtime_error {
    using std::runtime_error::runtime_error;
};

constexpr int REFUSED = 3;
