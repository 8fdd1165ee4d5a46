#include "launch.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "refusal.h"

using json = nlohmann::ordered_json;

namespace {

double seconds_since(int64_t began) { return double(now_ns() - began) / 1e9; }

template <typename Value>
json or_null(const std::optional<Value>& value) {
    return value ? json(*value) : json(nullptr);
}

json described(const State& state) {
    return {{"load_average", or_null(state.load_average)},
            {"frequencies_khz", state.frequencies_khz},
            {"temperatures_celsius", state.temperatures_celsius}};
}

size_t iterations_asked(const std::string& line) {
    try {
        return json::parse(line).at("iterations");
    } catch (const json::exception& error) {
        throw Refusal("a question is not {\"iterations\": n}: " + std::string(error.what()));
    }
}

void answer(std::FILE* answers, const json& said) {
    std::fprintf(answers, "%s\n", said.dump().c_str());
    std::fflush(answers);
}

void write_text(const std::filesystem::path& path, const std::string& text) {
    std::ofstream stream(path);
    stream << text;
    stream.close();
    if (!stream) throw std::runtime_error(path.string() + " cannot be written: " + std::strerror(errno));
}

}  // namespace

Launch::Launch(const std::string& job_path)
    : directory_(std::filesystem::absolute(job_path).parent_path()), job_(read_job(job_path)) {
    memory_["before_import_rss_bytes"] = rss_bytes();
}

void Launch::prepare() {
    stage("import");
    int64_t began = now_ns();
    start_engine();
    import_s_ = seconds_since(began);
    for (const Input& input : job_.inputs)
        feeds_.push_back(read_npy(input.file, input.name, input.dtype, input.shape));

    stage("load");
    memory_["before_load_rss_bytes"] = rss_bytes();
    began = now_ns();
    network_ = std::make_unique<Network>(job_);
    load_s_ = seconds_since(began);
    memory_["after_load_rss_bytes"] = rss_bytes();
    infer_ = [this] { return network_->infer(feeds_); };

    stage("first");
    began = now_ns();
    outputs_ = infer_();
    first_s_ = seconds_since(began);
    memory_["after_first_rss_bytes"] = rss_bytes();

    stage("warmup");
    warmup_ = warm_up(infer_, job_.warmup);
    state_start_ = state();
}

void Launch::measure() {
    stage("timing");
    block(job_.timing);
}

void Launch::serve(std::istream& questions, std::FILE* answers) {
    stage("timing");
    answer(answers, {{"ready", true}});
    for (std::string line; std::getline(questions, line);) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) break;
        const size_t iterations = iterations_asked(line);
        const Samples taken = block({iterations, iterations, 0.0});
        answer(answers, {{"samples_ns", taken.samples_ns}, {"started_ns", taken.started_ns}});
    }
}

void Launch::finish() {
    stage("outputs");
    memory_["peak_rss_bytes"] = peak_rss_bytes();
    memory_["pss_bytes"] = pss_bytes();
    write_outputs();
    write_result();
    stage("done");
}

void Launch::stage(const std::string& name) const { write_text(directory_ / "stage", name); }

Samples Launch::block(const TimingPlan& plan) {
    const Usage before = usage();
    Samples taken = timed(infer_, plan);
    const Usage used = usage() - before;
    if (!used_) used_.emplace();
    *used_ += used;
    samples_.append(taken);
    return taken;
}

void Launch::write_outputs() const {
    const auto folder = directory_ / "outputs";
    std::filesystem::create_directories(folder);
    for (size_t i = 0; i < outputs_.size(); i++)
        write_npy((folder / (std::to_string(i) + ".npy")).string(), outputs_[i]);
}

void Launch::write_result() const {
    json memory = json::object(), outputs = json::array();
    for (const auto& [name, bytes] : memory_) memory[name] = or_null(bytes);
    for (size_t i = 0; i < outputs_.size(); i++)
        outputs.push_back(
            {{"name", job_.outputs[i].name}, {"shape", outputs_[i].shape}, {"dtype", outputs_[i].dtype}});
    json result = {
        {"schema", SCHEMA},
        {"threads_asked", job_.threads},
        {"import_s", import_s_},
        {"load_s", load_s_},
        {"first_s", first_s_},
        {"warmup", {{"samples_ns", warmup_.samples_ns}, {"settled", warmup_.settled}}},
        {"state_start", described(state_start_)},
        {"runtime", "ncnn"},
        {"runtime_version", engine_version()},
        {"backend", network_->backend()},
        {"python", nullptr},
        {"samples_ns", samples_.samples_ns},
        {"started_ns", samples_.started_ns},
        {"memory", memory},
        {"threads_obtained", or_null(thread_count())},
        {"affinity", or_null(affinity())},
        {"state_end", described(state())},
        {"outputs", outputs},
    };
    if (used_) {
        result["cpu_time_s"] = used_->cpu_time_s;
        result["timed_wall_s"] = used_->timed_wall_s;
        result["involuntary_switches"] = used_->involuntary_switches;
        result["voluntary_switches"] = used_->voluntary_switches;
    }
    write_text(directory_ / "result.json.part", result.dump());
    std::filesystem::rename(directory_ / "result.json.part", directory_ / "result.json");
}
