#include "sensors.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace {

std::optional<int64_t> number_in(const std::string& path) {
    std::ifstream stream(path);
    int64_t value = 0;
    if (!(stream >> value)) return std::nullopt;
    return value;
}

bool is_numbered(const std::string& name, const std::string& prefix) {
    return name.size() > prefix.size() && name.compare(0, prefix.size(), prefix) == 0 &&
           name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
}

std::map<std::string, int64_t> readings(const std::string& root, const std::string& prefix,
                                        const std::string& leaf) {
    std::map<std::string, int64_t> found;
    std::error_code unreadable;
    for (const auto& entry : std::filesystem::directory_iterator(root, unreadable)) {
        const std::string name = entry.path().filename().string();
        if (!is_numbered(name, prefix)) continue;
        if (const auto value = number_in(entry.path().string() + "/" + leaf)) found[name] = *value;
    }
    return found;
}

// Zones differ in their unit; anything hotter than a chip can be is a smaller unit.
double celsius(int64_t value) { return std::llabs(value) > 1000 ? double(value) / 1000.0 : double(value); }

std::optional<double> load_average() {
    std::ifstream stream("/proc/loadavg");
    double load = 0;
    if (!(stream >> load)) return std::nullopt;
    return load;
}

}  // namespace

State state() {
    State now{load_average(), readings("/sys/devices/system/cpu", "cpu", "cpufreq/scaling_cur_freq"), {}};
    for (const auto& [zone, value] : readings("/sys/class/thermal", "thermal_zone", "temp"))
        now.temperatures_celsius[zone] = celsius(value);
    return now;
}
