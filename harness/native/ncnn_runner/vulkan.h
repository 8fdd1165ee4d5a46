// The GPU, where ncnn is built with Vulkan.

#pragma once

#include <string>

// Whether this build can compute on a GPU.
bool has_vulkan();

// ncnn's use of Vulkan, from the first network on the GPU until the last one is gone.
class Vulkan {
public:
    // Throws Refusal when there is no GPU, or this build has no Vulkan.
    Vulkan();

    // Before the process ends: what is left to static destructors is let go in no order, and drivers crash.
    ~Vulkan();

    Vulkan(const Vulkan&) = delete;
    Vulkan& operator=(const Vulkan&) = delete;

    // As its driver calls it.
    const std::string& gpu_name() const { return gpu_name_; }

private:
    std::string gpu_name_;
};
