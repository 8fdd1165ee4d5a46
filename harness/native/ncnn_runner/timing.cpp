#include "timing.h"

#include <time.h>

#include <algorithm>
#include <cmath>

namespace {

// Of `count` values from `first` on.
double median(const int64_t* first, size_t count) {
    std::vector<int64_t> ordered(first, first + count);
    std::sort(ordered.begin(), ordered.end());
    return double(ordered[(count - 1) / 2] + ordered[count / 2]) / 2;
}

bool is_settled(const std::vector<int64_t>& samples, const WarmupPlan& plan) {
    const size_t window = plan.window;
    if (window == 0 || samples.size() < 2 * window || samples.size() % window != 0) return false;
    const int64_t* end = samples.data() + samples.size();
    const double late = median(end - window, window), early = median(end - 2 * window, window);
    return std::fabs(late - early) <= plan.tolerance * early;
}

int64_t deadline_in(double seconds) { return now_ns() + int64_t(seconds * 1e9); }

}  // namespace

int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

Warmup warm_up(const Infer& infer, const WarmupPlan& plan) {
    Warmup done{{}, false};
    const int64_t deadline = deadline_in(plan.max_s);
    while (done.samples_ns.size() < plan.max_iterations) {
        const int64_t began = now_ns();
        infer();
        const int64_t ended = now_ns();
        done.samples_ns.push_back(ended - began);
        if (done.samples_ns.size() < plan.min_iterations) continue;
        done.settled = is_settled(done.samples_ns, plan);
        if (done.settled || ended >= deadline) break;
    }
    return done;
}

void Samples::append(const Samples& more) {
    samples_ns.insert(samples_ns.end(), more.samples_ns.begin(), more.samples_ns.end());
    started_ns.insert(started_ns.end(), more.started_ns.begin(), more.started_ns.end());
}

Samples timed(const Infer& infer, const TimingPlan& plan) {
    Samples taken;
    const int64_t deadline = deadline_in(plan.target_s);
    while (true) {
        const int64_t began = now_ns();
        std::vector<Array> outputs = infer();
        const int64_t ended = now_ns();
        outputs.clear();
        taken.samples_ns.push_back(ended - began);
        taken.started_ns.push_back(began);
        const size_t count = taken.samples_ns.size();
        if (count >= plan.max_iterations || (count >= plan.min_iterations && ended >= deadline)) return taken;
    }
}
