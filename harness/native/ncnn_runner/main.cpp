// Entry: `runner job.json` measures once, `runner job.json --serve` answers blocks.
//
// Exit codes: 0 result.json is complete; 2 wrong arguments; 3 job or artifact are wrong, stderr says why.

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "launch.h"
#include "refusal.h"

namespace {

// What ncnn prints goes to stderr; answers have a private copy of stdout.
std::FILE* private_stdout() {
    std::FILE* answers = fdopen(dup(STDOUT_FILENO), "w");
    dup2(STDERR_FILENO, STDOUT_FILENO);
    return answers;
}

int run(const std::string& job_path, bool serving) {
    std::FILE* answers = private_stdout();
    Launch launch(job_path);
    launch.prepare();
    if (serving)
        launch.serve(std::cin, answers);
    else
        launch.measure();
    launch.finish();
    return 0;
}

int told(const std::exception& error, int exit_code) {
    std::fprintf(stderr, "runner: %s\n", error.what());
    return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
    const bool serving = argc == 3 && std::string(argv[2]) == "--serve";
    if (argc != 2 && !serving) {
        std::fputs("usage: runner job.json [--serve]\n", stderr);
        return 2;
    }
    try {
        return run(argv[1], serving);
    } catch (const Refusal& refusal) {
        return told(refusal, REFUSED);
    } catch (const std::exception& error) {
        return told(error, 1);
    }
}
