#include "vulkan.h"

#include <gpu.h>
#include <platform.h>

#include "refusal.h"

#if NCNN_VULKAN

bool has_vulkan() { return true; }

Vulkan::Vulkan() {
    if (ncnn::get_gpu_count() == 0) {
        ncnn::destroy_gpu_instance();
        throw Refusal(
            "ncnn finds no GPU with a Vulkan driver here; on a phone the driver is the vendor's, on Debian "
            "install mesa-vulkan-drivers and libvulkan1");
    }
    gpu_name_ = ncnn::get_gpu_info(ncnn::get_default_gpu_index()).device_name();
}

Vulkan::~Vulkan() { ncnn::destroy_gpu_instance(); }

#else

bool has_vulkan() { return false; }

Vulkan::Vulkan() {
    throw Refusal("this runner's ncnn is built without Vulkan; docs/android.md says how to build one with it");
}

Vulkan::~Vulkan() = default;

#endif
