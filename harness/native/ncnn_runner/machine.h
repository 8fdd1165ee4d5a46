// Readings of this process from /proc; what cannot be read is nothing.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

// Resident set size now, highest so far (VmHWM), and proportional set size now.
std::optional<int64_t> rss_bytes();
std::optional<int64_t> peak_rss_bytes();
std::optional<int64_t> pss_bytes();

std::optional<int> thread_count();

// Cores that any thread of this process may run on, as the kernel says, sorted.
std::optional<std::vector<int>> affinity();

// Counters that only grow.
struct Usage {
    double cpu_time_s = 0, timed_wall_s = 0;
    int64_t involuntary_switches = 0, voluntary_switches = 0;

    Usage operator-(const Usage& before) const;
    Usage& operator+=(const Usage& more);
};

Usage usage();
