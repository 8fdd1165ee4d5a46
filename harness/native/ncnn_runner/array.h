// Arrays, and .npy files of them: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using Shape = std::vector<int64_t>;

// In C order; `dtype` is numpy's name of it.
struct Array {
    Shape shape;
    std::string dtype;
    std::vector<unsigned char> bytes;
};

// Bytes of one element; throws Refusal for a dtype that is not known.
size_t element_size(const std::string& dtype);

size_t element_count(const Shape& shape);

// "(1, 3, 48, 192)"
std::string shown(const Shape& shape);

// The array in the file `path`, which has to be of `dtype` and to fill `shape`; `name` is for the reader of a
// Refusal.
Array read_npy(const std::string& path, const std::string& name, const std::string& dtype,
               const Shape& shape);

void write_npy(const std::string& path, const Array& array);
