#include "machine.h"

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "timing.h"

namespace {

constexpr char TASKS[] = "/proc/self/task";

// What stands behind `field` and a colon in the file `path`.
std::optional<std::string> value_of(const std::string& path, const std::string& field) {
    std::ifstream stream(path);
    for (std::string line; std::getline(stream, line);)
        if (line.compare(0, field.size() + 1, field + ":") == 0) return line.substr(field.size() + 1);
    return std::nullopt;
}

std::optional<int64_t> kib_of(const std::string& path, const std::string& field) {
    const auto value = value_of(path, field);
    if (!value) return std::nullopt;
    return std::stoll(*value) * 1024;
}

std::vector<std::string> tasks() {
    std::vector<std::string> found;
    std::error_code unreadable;
    for (const auto& entry : std::filesystem::directory_iterator(TASKS, unreadable))
        found.push_back(entry.path().string());
    return found;
}

// "0-3,6" -> 0 1 2 3 6
void add_cores(const std::string& list, std::set<int>& cores) {
    std::istringstream parts(list);
    for (std::string part; std::getline(parts, part, ',');) {
        const size_t dash = part.find('-');
        const int first = std::stoi(part);
        const int last = dash == std::string::npos ? first : std::stoi(part.substr(dash + 1));
        for (int core = first; core <= last; core++) cores.insert(core);
    }
}

double seconds(const timeval& time) { return double(time.tv_sec) + double(time.tv_usec) / 1e6; }

}  // namespace

std::optional<int64_t> rss_bytes() { return kib_of("/proc/self/status", "VmRSS"); }

std::optional<int64_t> peak_rss_bytes() { return kib_of("/proc/self/status", "VmHWM"); }

std::optional<int64_t> pss_bytes() { return kib_of("/proc/self/smaps_rollup", "Pss"); }

std::optional<int> thread_count() {
    const size_t count = tasks().size();
    return count ? std::optional<int>(int(count)) : std::nullopt;
}

std::optional<std::vector<int>> affinity() {
    std::set<int> cores;
    for (const std::string& task : tasks())
        if (const auto list = value_of(task + "/status", "Cpus_allowed_list")) add_cores(*list, cores);
    if (cores.empty()) return std::nullopt;
    return std::vector<int>(cores.begin(), cores.end());
}

Usage Usage::operator-(const Usage& before) const {
    return {cpu_time_s - before.cpu_time_s, timed_wall_s - before.timed_wall_s,
            involuntary_switches - before.involuntary_switches,
            voluntary_switches - before.voluntary_switches};
}

Usage& Usage::operator+=(const Usage& more) {
    cpu_time_s += more.cpu_time_s;
    timed_wall_s += more.timed_wall_s;
    involuntary_switches += more.involuntary_switches;
    voluntary_switches += more.voluntary_switches;
    return *this;
}

Usage usage() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return {seconds(used.ru_utime) + seconds(used.ru_stime), double(now_ns()) / 1e9, used.ru_nivcsw,
            used.ru_nvcsw};
}
