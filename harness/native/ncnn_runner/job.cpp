#include "job.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "refusal.h"
#include "vulkan.h"

using nlohmann::json;

namespace {

constexpr char RUNTIME[] = "ncnn";

Input input_of(const json& said) {
    return {said.at("name"), said.at("dtype"), said.at("file"), said.at("shape"), std::nullopt};
}

Output output_of(const json& said) { return {said.at("name"), said.at("dtype"), said.at("shape")}; }

WarmupPlan warmup_of(const json& said) {
    return {said.at("min_iterations"), said.at("max_iterations"), said.at("window"), said.at("max_s"),
            said.at("tolerance")};
}

TimingPlan timing_of(const json& said) {
    return {said.at("min_iterations"), said.at("max_iterations"), said.at("target_s")};
}

void check_for_us(const json& said) {
    const json schema = said.value("schema", json());
    if (schema != SCHEMA)
        throw Refusal("job.json has schema " + schema.dump() + ", this runner knows " +
                      std::to_string(SCHEMA));
    const std::string runtime = said.at("runtime");
    if (runtime != RUNTIME)
        throw Refusal("this runner has no backend for runtime '" + runtime + "', it has: " + RUNTIME);
}

std::string backend_of(const json& said) {
    const std::string backend = said.at("backend");
    if (backend != "cpu" && backend != "vulkan")
        throw Refusal("this runner computes on the cpu" + std::string(has_vulkan() ? " or with vulkan" : "") +
                      ", the job asks for '" + backend + "'");
    return backend;
}

void take_batch_axes(const json& options, std::vector<Input>& inputs) {
    const json axes = options.value("batch_axes", json::array());
    for (size_t i = 0; i < axes.size() && i < inputs.size(); i++) {
        if (axes[i].is_null()) continue;
        const int axis = axes[i];
        const Shape& shape = inputs[i].shape;
        if (axis < 0 || size_t(axis) >= shape.size() || shape[size_t(axis)] != 1)
            throw Refusal("input " + inputs[i].name + " of shape " + shown(shape) + " has no batch axis " +
                          std::to_string(axis) + " of size one");
        inputs[i].batch_axis = axis;
    }
}

Job job_of(const json& said) {
    check_for_us(said);
    Job job;
    job.backend = backend_of(said);
    job.precision = said.at("precision");
    job.threads = said.at("threads");
    said.at("files").get_to(job.files);
    job.warmup = warmup_of(said.at("warmup"));
    job.timing = timing_of(said.at("timing"));
    for (const json& input : said.at("inputs")) job.inputs.push_back(input_of(input));
    for (const json& output : said.at("outputs")) job.outputs.push_back(output_of(output));
    take_batch_axes(said.value("options", json::object()), job.inputs);
    return job;
}

}  // namespace

Job read_job(const std::string& path) {
    std::ifstream stream(path);
    if (!stream) throw Refusal(path + ": " + std::strerror(errno));
    try {
        return job_of(json::parse(stream));
    } catch (const json::exception& error) {
        throw Refusal(path + " is no job: " + error.what());
    }
}
