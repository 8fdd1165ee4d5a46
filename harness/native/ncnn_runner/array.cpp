#include "array.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "refusal.h"

namespace {

struct Dtype {
    const char* name;
    const char* described;  // in the header of a file
    size_t size;
};

constexpr Dtype DTYPES[] = {
    {"float32", "<f4", 4}, {"float64", "<f8", 8}, {"float16", "<f2", 2},
    {"int64", "<i8", 8},   {"int32", "<i4", 4},   {"int16", "<i2", 2},
    {"int8", "|i1", 1},    {"uint8", "|u1", 1},   {"bool", "|b1", 1},
};

constexpr char MAGIC[] = "\x93NUMPY";
constexpr size_t MAGIC_SIZE = 6;
constexpr size_t ALIGNMENT = 64;

const Dtype& dtype_named(const std::string& name) {
    for (const Dtype& dtype : DTYPES)
        if (name == dtype.name) return dtype;
    throw Refusal("this runner knows no dtype " + name);
}

std::string dtype_described(const std::string& described) {
    for (const Dtype& dtype : DTYPES)
        if (described == dtype.described) return dtype.name;
    return "'" + described + "'";
}

std::vector<unsigned char> whole_file(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw Refusal(path + ": " + std::strerror(errno));
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// The header's text, and where the elements begin.
std::pair<std::string, size_t> header_of(const std::vector<unsigned char>& file, const std::string& path) {
    if (file.size() < 12 || std::memcmp(file.data(), MAGIC, MAGIC_SIZE) != 0)
        throw Refusal(path + " is no .npy file");
    // Version 1 has two bytes of length, later ones have four.
    const size_t width = file[MAGIC_SIZE] == 1 ? 2 : 4;
    const size_t begin = MAGIC_SIZE + 2 + width;
    size_t length = 0;
    for (size_t i = 0; i < width; i++) length |= size_t(file[MAGIC_SIZE + 2 + i]) << (8 * i);
    if (file.size() < begin || file.size() - begin < length) throw Refusal(path + " ends within its header");
    return {std::string(file.begin() + begin, file.begin() + begin + length), begin + length};
}

std::string quoted_after(const std::string& text, const std::string& key) {
    const size_t at = text.find(key);
    if (at == std::string::npos) return "";
    const size_t from = text.find('\'', at + key.size());
    const size_t to = from == std::string::npos ? from : text.find('\'', from + 1);
    return to == std::string::npos ? "" : text.substr(from + 1, to - from - 1);
}

}  // namespace

size_t element_size(const std::string& dtype) { return dtype_named(dtype).size; }

size_t element_count(const Shape& shape) {
    size_t count = 1;
    for (int64_t size : shape) count *= size_t(size);
    return count;
}

std::string shown(const Shape& shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); i++) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

Array read_npy(const std::string& path, const std::string& name, const std::string& dtype,
               const Shape& shape) {
    const std::vector<unsigned char> file = whole_file(path);
    const auto [header, begin] = header_of(file, path);
    const std::string found = dtype_described(quoted_after(header, "'descr':"));
    if (found != dtype) throw Refusal("feed " + name + " is " + found + ", the job says " + dtype);
    if (header.find("'fortran_order': False") == std::string::npos)
        throw Refusal("feed " + name + " is not in C order");
    const size_t expected = element_count(shape) * element_size(dtype);
    if (file.size() - begin != expected)
        throw Refusal("feed " + name + " has " + std::to_string(file.size() - begin) + " bytes, shape " +
                      shown(shape) + " of " + dtype + " has " + std::to_string(expected));
    return {shape, dtype, {file.begin() + begin, file.end()}};
}

void write_npy(const std::string& path, const Array& array) {
    std::string header = std::string("{'descr': '") + dtype_named(array.dtype).described +
                         "', 'fortran_order': False, 'shape': " + shown(array.shape) + ", }";
    const size_t before = MAGIC_SIZE + 4;
    header.append(ALIGNMENT - (before + header.size() + 1) % ALIGNMENT, ' ');
    header += '\n';

    std::ofstream stream(path, std::ios::binary);
    stream.write(MAGIC, MAGIC_SIZE);
    const char version_and_length[] = {1, 0, char(header.size() & 0xff), char(header.size() >> 8)};
    stream.write(version_and_length, sizeof version_and_length);
    stream << header;
    stream.write(reinterpret_cast<const char*>(array.bytes.data()), std::streamsize(array.bytes.size()));
    stream.close();
    if (!stream) throw std::runtime_error(path + " cannot be written: " + std::strerror(errno));
}
