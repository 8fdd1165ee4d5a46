#include "network.h"

#include <cpu.h>
#include <platform.h>

#include <set>

#include "blobs.h"
#include "refusal.h"

namespace {

// Only newer releases have this switch.
template <typename Option>
auto set_bf16_packed(Option& option, bool on, int) -> decltype(void(option.use_bf16_packed)) {
    option.use_bf16_packed = on;
}
template <typename Option>
void set_bf16_packed(Option&, bool, long) {}

template <typename Option>
auto has_bf16_packed(const Option& option, int) -> decltype(bool(option.use_bf16_packed)) {
    return option.use_bf16_packed;
}
template <typename Option>
bool has_bf16_packed(const Option&, long) {
    return false;
}

void set_options(ncnn::Option& option, const Job& job) {
    const bool half = job.precision == "fp16", brain = job.precision == "bf16";
    option.num_threads = job.threads;
    option.use_vulkan_compute = job.backend == "vulkan";
    option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = half;
    option.use_bf16_storage = brain;
    set_bf16_packed(option, brain, 0);
}

// While it loads, ncnn turns off what the GPU lacks, without a word: it would be another precision.
void check_precision(const ncnn::Option& option, const Job& job, const std::string& gpu) {
    if (!option.use_vulkan_compute) throw Refusal("ncnn cannot use the GPU that it found (" + gpu + ")");
    const bool half = option.use_fp16_packed || option.use_fp16_storage;
    const bool brain = option.use_bf16_storage || has_bf16_packed(option, 0);
    if ((job.precision == "fp16" && !half) || (job.precision == "bf16" && !brain))
        throw Refusal("the GPU's driver has no " + job.precision + " (" + gpu + ")");
}

const char* file_of(const Job& job, const char* role) {
    const auto found = job.files.find(role);
    if (found == job.files.end()) throw Refusal(std::string("the job names no ") + role + " file");
    return found->second.c_str();
}

void check_loaded(int code, const std::string& role) {
    if (code != 0)
        throw Refusal("ncnn cannot load the " + role + " file (code " + std::to_string(code) + ")");
}

Shape without_axis(Shape shape, std::optional<int> axis) {
    if (axis) shape.erase(shape.begin() + *axis);
    return shape;
}

template <typename Names>
std::string joined(const Names& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

}  // namespace

void start_engine() { ncnn::get_cpu_count(); }

std::string engine_version() { return NCNN_VERSION_STRING; }

Network::Network(const Job& job) {
    if (job.backend == "vulkan") vulkan_.emplace();
    set_options(net_.opt, job);
    check_loaded(net_.load_param(file_of(job, "param")), "param");
    check_loaded(net_.load_model(file_of(job, "bin")), "bin");
    if (vulkan_) check_precision(net_.opt, job, vulkan_->gpu_name());
    for (const Input& input : job.inputs)
        inputs_.push_back({"in" + std::to_string(inputs_.size()), input.dtype,
                           without_axis(input.shape, input.batch_axis)});
    for (const Output& output : job.outputs)
        outputs_.push_back({"out" + std::to_string(outputs_.size()), output.dtype, output.shape});
    check_blobs();
}

void Network::check_blobs() const {
    std::set<std::string> present;
    for (const char* name : net_.input_names()) present.insert(name);
    for (const char* name : net_.output_names()) present.insert(name);
    std::vector<std::string> missing;
    for (const auto* blobs : {&inputs_, &outputs_})
        for (const Blob& blob : *blobs)
            if (!present.count(blob.name)) missing.push_back(blob.name);
    if (!missing.empty())
        throw Refusal("the converted model has no " + joined(missing) + "; it has " + joined(present));
    for (const Blob& input : inputs_) check_input(input.name, input.shape);
    for (const Blob& output : outputs_) check_output(output.name, output.dtype);
}

std::string Network::backend() const { return vulkan_ ? "vulkan, " + vulkan_->gpu_name() : "cpu"; }

std::vector<Array> Network::infer(const std::vector<Array>& feeds) const {
    ncnn::Extractor extractor = net_.create_extractor();
    for (size_t i = 0; i < inputs_.size(); i++) feed(extractor, inputs_[i], feeds[i]);
    std::vector<Array> outputs;
    outputs.reserve(outputs_.size());
    for (const Blob& output : outputs_) outputs.push_back(extract(extractor, output));
    return outputs;
}

void Network::feed(ncnn::Extractor& extractor, const Blob& input, const Array& array) const {
    const int code = extractor.input(input.name.c_str(), mat_of(array, input.shape));
    if (code != 0)
        throw Refusal("ncnn refuses input " + input.name + " of shape " + shown(input.shape) + " (code " +
                      std::to_string(code) + ")");
}

Array Network::extract(ncnn::Extractor& extractor, const Blob& output) const {
    ncnn::Mat mat;
    const int code = extractor.extract(output.name.c_str(), mat);
    if (code != 0)
        throw Refusal("ncnn cannot compute " + output.name + " (code " + std::to_string(code) + ")");
    return array_of(mat, output.dtype, output.shape);
}
