// Loops around one inference. Times are integer nanoseconds of a monotonic clock.

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "array.h"
#include "job.h"

using Infer = std::function<std::vector<Array>()>;

int64_t now_ns();

struct Warmup {
    std::vector<int64_t> samples_ns;
    bool settled;
};

// Runs `infer` until the median of the last window is within the plan's tolerance of the median of the window
// before, or a cap is reached.
Warmup warm_up(const Infer& infer, const WarmupPlan& plan);

struct Samples {
    std::vector<int64_t> samples_ns, started_ns;

    void append(const Samples& more);
};

// Runs `infer` until the plan's time has passed, within its counts. A sample is the call alone: inputs ready
// to outputs finished. What the call returned is let go between two spans.
Samples timed(const Infer& infer, const TimingPlan& plan);
