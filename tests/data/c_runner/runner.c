/* A runner for `binary` bundles that needs nothing but a C library: reads job.json, computes max(x, 0) of the
 * job's first input, a float32 .npy file, and writes result.json and outputs/0.npy beside the job.
 *
 *     cc -O2 -static -o runner runner.c && ./runner job.json
 *
 * Exit codes: 0 result.json is complete; 2 wrong arguments; 3 job or files are wrong, stderr says why.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SCHEMA 1
#define REFUSED 3
#ifndef VERSION
#define VERSION "1.0"
#endif

static void refuse(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("runner: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(REFUSED);
}

static void *allocated(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    if (memory == NULL) refuse("no memory for %zu bytes", bytes);
    return memory;
}

/* JSON, as far as a job has it: values are found in the text where they stand, nothing is built of them. */

static const char *blank(const char *at) {
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
    return at;
}

static const char *after_string(const char *at) {
    for (at++; *at != '"'; at++) {
        if (*at == '\\') at++;
        if (*at == '\0') refuse("job.json ends within a string");
    }
    return at + 1;
}

/* The first character after the value at `at`. */
static const char *after(const char *at) {
    int depth = 0;
    at = blank(at);
    do {
        if (*at == '\0') refuse("job.json ends within a value");
        if (*at == '"') {
            at = after_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++, at++;
        } else if (*at == '}' || *at == ']') {
            depth--, at++;
        } else if (depth == 0) {
            return at + strcspn(at, ",}] \n\t\r");
        } else {
            at++;
        }
    } while (depth > 0);
    return at;
}

/* The value of `name` in the object at `at`. */
static const char *member(const char *at, const char *name) {
    size_t length = strlen(name);
    at = blank(at);
    if (*at != '{') refuse("job.json: an object was expected around \"%s\"", name);
    for (at = blank(at + 1); *at == '"'; at = blank(*at == ',' ? at + 1 : at)) {
        const char *end = after_string(at);
        int found = (size_t)(end - at) == length + 2 && strncmp(at + 1, name, length) == 0;
        at = blank(end);
        if (*at != ':') refuse("job.json: a key without a value");
        if (found) return blank(at + 1);
        at = blank(after(at + 1));
    }
    refuse("job.json has no \"%s\"", name);
    return NULL;
}

/* The first element of the array at `at`. */
static const char *first(const char *at, const char *what) {
    at = blank(at);
    if (*at == '[') at = blank(at + 1);
    if (*at == ']' || *at == '\0') refuse("job.json has no %s", what);
    return at;
}

static double number(const char *at) { return strtod(at, NULL); }

/* A copy of the string at `at`, its escapes undone. */
static char *string(const char *at) {
    const char *from = at + 1, *end;
    char *copy, *to;
    if (*at != '"') refuse("job.json: a string was expected");
    end = after_string(at) - 1;
    to = copy = allocated((size_t)(end - from) + 1);
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        switch (from[1]) {
            case 'n': *to++ = '\n'; break;
            case 't': *to++ = '\t'; break;
            case 'r': *to++ = '\r'; break;
            case 'b': *to++ = '\b'; break;
            case 'f': *to++ = '\f'; break;
            case 'u': refuse("job.json: \\u in a string is more than this runner reads"); break;
            default: *to++ = from[1];
        }
        from += 2;
    }
    *to = '\0';
    return copy;
}

/* Files. */

static char *whole_file(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    struct stat about;
    char *content;
    if (stream == NULL || fstat(fileno(stream), &about) != 0) refuse("%s: %s", path, strerror(errno));
    *size = (size_t)about.st_size;
    content = allocated(*size + 1);
    if (fread(content, 1, *size, stream) != *size) refuse("%s cannot be read to its end", path);
    content[*size] = '\0';
    fclose(stream);
    return content;
}

static FILE *created(const char *path) {
    FILE *stream = fopen(path, "wb");
    if (stream == NULL) refuse("%s: %s", path, strerror(errno));
    return stream;
}

static void finished(FILE *stream, const char *path) {
    if (ferror(stream) | fclose(stream)) refuse("%s cannot be written", path);
}

/* What is being done, for whoever finds this process dead. */
static void stage(const char *name) {
    FILE *stream = created("stage");
    fputs(name, stream);
    finished(stream, "stage");
}

struct array {
    char *file, *header; /* header: the .npy file's, which the output shares */
    size_t header_size, count;
    float *values;
};

/* .npy, version 1: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
static struct array read_array(const char *path) {
    struct array array;
    size_t size, bytes;
    array.file = whole_file(path, &size);
    if (size < 10 || memcmp(array.file, "\x93NUMPY\x01\x00", 8) != 0) refuse("%s is no .npy file", path);
    array.header = array.file;
    array.header_size = 10 + (unsigned char)array.file[8] + 256 * (size_t)(unsigned char)array.file[9];
    if (array.header_size > size) refuse("%s ends within its header", path);
    bytes = size - array.header_size;
    /* The header is text of a fixed form, padded with blanks. */
    if (strstr(array.file + 10, "'descr': '<f4'") == NULL) refuse("%s is not float32", path);
    if (strstr(array.file + 10, "'fortran_order': False") == NULL) refuse("%s is not in C order", path);
    if (bytes % sizeof(float) != 0) refuse("%s ends within a value", path);
    array.count = bytes / sizeof(float);
    array.values = allocated(bytes);
    memcpy(array.values, array.file + array.header_size, bytes);
    return array;
}

static void write_array(const char *path, const struct array *like, const float *values) {
    FILE *stream = created(path);
    fwrite(like->header, 1, like->header_size, stream);
    fwrite(values, sizeof(float), like->count, stream);
    finished(stream, path);
}

/* Measuring. */

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* A line of /proc/self/status in bytes, or -1. */
static long long status_bytes(const char *field) {
    char line[256];
    long long kib = -1;
    FILE *stream = fopen("/proc/self/status", "r");
    while (stream != NULL && fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, field, strlen(field)) == 0) kib = atoll(line + strlen(field) + 1);
    if (stream != NULL) fclose(stream);
    return kib < 0 ? -1 : kib * 1024;
}

static int by_size(const void *one, const void *other) {
    long long a = *(const long long *)one, b = *(const long long *)other;
    return (a > b) - (a < b);
}

static double median(const long long *samples, size_t count) {
    long long *sorted = allocated(count * sizeof *sorted);
    double middle;
    memcpy(sorted, samples, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_size);
    middle = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
    free(sorted);
    return middle;
}

struct run {
    long long *samples, *started;
    size_t count;
};

static struct run room_for(double most) {
    struct run run = {NULL, NULL, 0};
    run.samples = allocated((size_t)most * sizeof *run.samples);
    run.started = allocated((size_t)most * sizeof *run.started);
    return run;
}

/* The model: this is what a real runner replaces by its engine. */
static void infer(const struct array *input, float *output) {
    for (size_t i = 0; i < input->count; i++) output[i] = input->values[i] > 0 ? input->values[i] : 0;
}

static void timed(struct run *run, const struct array *input, float *output) {
    long long began = now_ns();
    infer(input, output);
    run->samples[run->count] = now_ns() - began;
    run->started[run->count++] = began;
}

/* Until the median of a window is within the tolerance of the window before, or a cap is reached. */
static int warm_up(struct run *run, const char *plan, const struct array *input, float *output) {
    size_t least = (size_t)number(member(plan, "min_iterations")), window = (size_t)number(member(plan, "window"));
    size_t most = (size_t)number(member(plan, "max_iterations"));
    double tolerance = number(member(plan, "tolerance"));
    long long deadline = now_ns() + (long long)(number(member(plan, "max_s")) * 1e9);
    while (run->count < most) {
        timed(run, input, output);
        if (run->count < least) continue;
        if (run->count >= 2 * window && run->count % window == 0) {
            double late = median(run->samples + run->count - window, window);
            double early = median(run->samples + run->count - 2 * window, window);
            if ((late > early ? late - early : early - late) <= tolerance * early) return 1;
        }
        if (now_ns() >= deadline) break;
    }
    return 0;
}

static void measure(struct run *run, const char *plan, const struct array *input, float *output) {
    size_t least = (size_t)number(member(plan, "min_iterations")), most = (size_t)number(member(plan, "max_iterations"));
    long long deadline = now_ns() + (long long)(number(member(plan, "target_s")) * 1e9);
    do {
        timed(run, input, output);
    } while (run->count < most && (run->count < least || now_ns() < deadline));
}

static void write_list(FILE *stream, const char *name, const long long *values, size_t count) {
    fprintf(stream, "\"%s\":[", name);
    for (size_t i = 0; i < count; i++) fprintf(stream, "%s%lld", i ? "," : "", values[i]);
    fputc(']', stream);
}

static void write_bytes(FILE *stream, const char *name, long long bytes, const char *end) {
    if (bytes < 0) fprintf(stream, "\"%s\":null%s", name, end);
    else fprintf(stream, "\"%s\":%lld%s", name, bytes, end);
}

/* A value of the job, said again as it stands there. */
static void repeat(FILE *stream, const char *name, const char *value, const char *end) {
    fprintf(stream, "\"%s\":%.*s%s", name, (int)(after(value) - value), value, end);
}

int main(int argc, char **argv) {
    size_t size;
    if (argc != 2) {
        fputs("usage: runner job.json\n", stderr);
        return 2;
    }
    const char *job = whole_file(argv[1], &size);
    if ((int)number(member(job, "schema")) != SCHEMA) refuse("this runner reads jobs of schema %d", SCHEMA);
    const char *in = first(member(job, "inputs"), "inputs"), *out = first(member(job, "outputs"), "outputs");
    long long at_start = status_bytes("VmRSS");

    stage("load");
    long long began = now_ns();
    struct array input = read_array(string(member(in, "file")));
    float *output = allocated(input.count * sizeof *output);
    double load_s = (now_ns() - began) / 1e9;
    long long after_load = status_bytes("VmRSS");

    stage("first");
    began = now_ns();
    infer(&input, output);
    double first_s = (now_ns() - began) / 1e9;
    long long after_first = status_bytes("VmRSS");

    stage("warmup");
    const char *plan = member(job, "warmup");
    struct run warm = room_for(number(member(plan, "max_iterations")));
    int settled = warm_up(&warm, plan, &input, output);

    stage("timing");
    plan = member(job, "timing");
    struct run run = room_for(number(member(plan, "max_iterations")));
    measure(&run, plan, &input, output);

    stage("outputs");
    if (mkdir("outputs", 0777) != 0 && errno != EEXIST) refuse("outputs: %s", strerror(errno));
    write_array("outputs/0.npy", &input, output);
    FILE *result = created("result.json.part");
    fprintf(result, "{\"schema\":%d,", SCHEMA);
    repeat(result, "runtime", member(job, "runtime"), ",");
    fprintf(result, "\"runtime_version\":\"%s\",\"backend\":\"cpu\",", VERSION);
    fprintf(result, "\"import_s\":0.0,\"load_s\":%.9f,\"first_s\":%.9f,\"warmup\":{", load_s, first_s);
    write_list(result, "samples_ns", warm.samples, warm.count);
    fprintf(result, ",\"settled\":%s},", settled ? "true" : "false");
    write_list(result, "samples_ns", run.samples, run.count);
    fputc(',', result);
    write_list(result, "started_ns", run.started, run.count);
    fputs(",\"memory\":{", result);
    write_bytes(result, "before_load_rss_bytes", at_start, ",");
    write_bytes(result, "after_load_rss_bytes", after_load, ",");
    write_bytes(result, "after_first_rss_bytes", after_first, ",");
    write_bytes(result, "peak_rss_bytes", status_bytes("VmHWM"), "},");
    repeat(result, "threads_asked", member(job, "threads"), ",");
    fputs("\"threads_obtained\":1,\"outputs\":[{", result);
    repeat(result, "name", member(out, "name"), ",");
    repeat(result, "shape", member(in, "shape"), ",\"dtype\":\"float32\"}]}\n");
    finished(result, "result.json.part");
    if (rename("result.json.part", "result.json") != 0) refuse("result.json: %s", strerror(errno));
    stage("done");
    return 0;
}
