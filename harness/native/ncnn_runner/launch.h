// One launch: start, load, first inference, warm-up, timed iterations, result, in that order.

#pragma once

#include <cstdio>
#include <filesystem>
#include <istream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "array.h"
#include "job.h"
#include "machine.h"
#include "network.h"
#include "sensors.h"
#include "timing.h"

// A runner process's work; `stage` beside the job says what it is doing, for whoever finds it dead.
class Launch {
public:
    explicit Launch(const std::string& job_path);

    // Everything up to the end of the warm-up.
    void prepare();

    // Batch mode: the timed iterations in one go.
    void measure();

    // Serve mode: a line {"iterations": n} is answered by a line with that block's samples. An empty line or
    // the end of the input ends it.
    void serve(std::istream& questions, std::FILE* answers);

    // Writes outputs and result; the result appears whole or not at all.
    void finish();

private:
    void stage(const std::string& name) const;
    Samples block(const TimingPlan& plan);
    void write_outputs() const;
    void write_result() const;

    std::filesystem::path directory_;
    Job job_;
    std::unique_ptr<Network> network_;
    Infer infer_;
    std::vector<Array> feeds_, outputs_;
    double import_s_ = 0, load_s_ = 0, first_s_ = 0;
    Warmup warmup_{};
    Samples samples_;
    std::optional<Usage> used_;  // by the timed iterations
    State state_start_;
    std::map<std::string, std::optional<int64_t>> memory_;
};
