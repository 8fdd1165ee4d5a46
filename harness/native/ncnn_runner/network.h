// ncnn: one extractor for each inference, as its users run it.

#pragma once

#include <net.h>

#include <optional>
#include <string>
#include <vector>

#include "array.h"
#include "job.h"
#include "vulkan.h"

// What an engine does once in a process before it can load anything: look what the processor has.
void start_engine();

// As ncnn itself says it, "1.0.20261020".
std::string engine_version();

class Network {
public:
    // Loads files["param"] and files["bin"]; every storage and arithmetic switch is set by the precision,
    // none is left at its default. Throws Refusal when they cannot be loaded or are of another model.
    explicit Network(const Job& job);

    // Where it computes: "cpu", or "vulkan" and the GPU's name.
    std::string backend() const;

    // Copies in, extracts every output, copies out.
    std::vector<Array> infer(const std::vector<Array>& feeds) const;

private:
    struct Blob {
        std::string name, dtype;
        Shape shape;  // an input's: without its batch axis
    };

    void check_blobs() const;
    void feed(ncnn::Extractor& extractor, const Blob& input, const Array& array) const;
    Array extract(ncnn::Extractor& extractor, const Blob& output) const;

    std::optional<Vulkan> vulkan_;  // before the network, which has to be gone first
    ncnn::Net net_;
    std::vector<Blob> inputs_, outputs_;
};
