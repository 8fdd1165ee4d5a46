// What a runner is told to do.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "array.h"

constexpr int SCHEMA = 1;

struct Input {
    std::string name, dtype, file;
    Shape shape;
    std::optional<int> batch_axis;  // an axis of size one that ncnn, which has no batches, is not given
};

struct Output {
    std::string name, dtype;
    Shape shape;
};

struct WarmupPlan {
    size_t min_iterations, max_iterations, window;
    double max_s, tolerance;
};

struct TimingPlan {
    size_t min_iterations, max_iterations;
    double target_s;
};

struct Job {
    std::string backend, precision;
    int threads;
    std::map<std::string, std::string> files;
    std::vector<Input> inputs;
    std::vector<Output> outputs;
    WarmupPlan warmup;
    TimingPlan timing;
};

// The job in the file `path`; throws Refusal when it is none, or none for this runner.
Job read_job(const std::string& path);
