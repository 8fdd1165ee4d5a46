// Arrays into ncnn's matrices, whose channels may be padded, and out of them.

#pragma once

#include <mat.h>

#include <string>

#include "array.h"

// Throw Refusal for what a matrix cannot be, or be made into.
void check_input(const std::string& name, const Shape& shape);
void check_output(const std::string& name, const std::string& dtype);

// A matrix of its own with the elements of `array`, taken to be of `shape` (one to four axes).
ncnn::Mat mat_of(const Array& array, const Shape& shape);

// A copy of the matrix in `dtype`. Its shape is `expected` when the two differ only by axes of size one,
// which ncnn leaves out; any other difference is left as it is, for parity to judge.
Array array_of(const ncnn::Mat& mat, const std::string& dtype, const Shape& expected);
