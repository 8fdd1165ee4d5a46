#include "blobs.h"

#include <algorithm>
#include <cstring>

#include "refusal.h"

namespace {

// What its size says of an element that ncnn gives back, as its Python package reads it.
std::string dtype_of(const ncnn::Mat& mat) {
    if (mat.elempack == 1 && mat.elemsize == 4) return "float32";
    if (mat.elempack == 1 && mat.elemsize == 1) return "int8";
    throw Refusal("ncnn gives elements of " + std::to_string(mat.elemsize) + " bytes, packed by " +
                  std::to_string(mat.elempack) + ", which this runner cannot read");
}

Shape shape_of(const ncnn::Mat& mat) {
    switch (mat.dims) {
        case 1: return {mat.w};
        case 2: return {mat.h, mat.w};
        case 3: return {mat.c, mat.h, mat.w};
        default: return {mat.c, mat.d, mat.h, mat.w};
    }
}

Shape without_ones(Shape shape) {
    shape.erase(std::remove(shape.begin(), shape.end(), 1), shape.end());
    return shape;
}

template <typename To, typename From>
void convert(Array& array) {
    const size_t count = array.bytes.size() / sizeof(From);
    std::vector<unsigned char> converted(count * sizeof(To));
    const From* from = reinterpret_cast<const From*>(array.bytes.data());
    std::transform(from, from + count, reinterpret_cast<To*>(converted.data()),
                   [](From value) { return static_cast<To>(value); });
    array.bytes.swap(converted);
}

// To another dtype of check_output's.
template <typename From>
void convert_from(Array& array, const std::string& dtype) {
    if (dtype == "float32") convert<float, From>(array);
    if (dtype == "float64") convert<double, From>(array);
    if (dtype == "int64") convert<int64_t, From>(array);
    if (dtype == "int32") convert<int32_t, From>(array);
    if (dtype == "int8") convert<int8_t, From>(array);
    if (dtype == "uint8") convert<uint8_t, From>(array);
    if (dtype == "bool") convert<bool, From>(array);
    array.dtype = dtype;
}

void convert_to(Array& array, const std::string& dtype) {
    if (array.dtype == "float32")
        convert_from<float>(array, dtype);
    else
        convert_from<int8_t>(array, dtype);
}

}  // namespace

void check_input(const std::string& name, const Shape& shape) {
    if (shape.empty() || shape.size() > 4)
        throw Refusal("ncnn takes one to four axes, input " + name + " has shape " + shown(shape));
}

void check_output(const std::string& name, const std::string& dtype) {
    for (const char* known : {"float32", "float64", "int64", "int32", "int8", "uint8", "bool"})
        if (dtype == known) return;
    throw Refusal("ncnn's outputs cannot be made " + dtype + ", which the job wants of " + name);
}

ncnn::Mat mat_of(const Array& array, const Shape& shape) {
    if (array.dtype == "int64") {  // ncnn's whole numbers have 32 bits
        Array narrowed = array;
        convert<int32_t, int64_t>(narrowed);
        narrowed.dtype = "int32";
        return mat_of(narrowed, shape);
    }
    // The borrowed matrix is only read: clone() copies it.
    void* data = const_cast<unsigned char*>(array.bytes.data());
    const size_t size = element_size(array.dtype), axes = shape.size();
    const auto axis = [&](size_t from_last) { return int(shape[axes - 1 - from_last]); };
    ncnn::Mat borrowed;
    if (axes == 1) borrowed = ncnn::Mat(axis(0), data, size);
    if (axes == 2) borrowed = ncnn::Mat(axis(0), axis(1), data, size);
    if (axes == 3) borrowed = ncnn::Mat(axis(0), axis(1), axis(2), data, size);
    if (axes == 4) borrowed = ncnn::Mat(axis(0), axis(1), axis(2), axis(3), data, size);
    // The array's channels lie one behind the other, where a matrix's are aligned.
    if (axes > 2) borrowed.cstep = size_t(borrowed.w) * borrowed.h * borrowed.d;
    return borrowed.clone();
}

Array array_of(const ncnn::Mat& mat, const std::string& dtype, const Shape& expected) {
    Array array{shape_of(mat), dtype_of(mat), {}};
    const size_t channel = size_t(mat.w) * mat.h * mat.d * mat.elemsize;
    array.bytes.reserve(channel * mat.c);
    for (int c = 0; c < mat.c; c++) {
        const auto* from = static_cast<const unsigned char*>(mat.data) + mat.cstep * c * mat.elemsize;
        array.bytes.insert(array.bytes.end(), from, from + channel);
    }
    if (array.dtype != dtype) convert_to(array, dtype);
    if (array.shape != expected && without_ones(array.shape) == without_ones(expected))
        array.shape = expected;
    return array;
}
