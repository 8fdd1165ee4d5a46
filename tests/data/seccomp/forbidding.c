/* Runs a program under a seccomp filter, as Android runs its apps: one system call ends the process with SIGSYS.
 *
 *     cc -O2 -static -o forbidding forbidding.c && ./forbidding getpid PROGRAM [ARGUMENT ...]
 *
 * Source: seccomp(2), BPF programs. Exit code 2: wrong arguments, or the kernel takes no filter.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    unsigned int number;
} CALLS[] = {{"getpid", SYS_getpid}, {"getrandom", SYS_getrandom}};

static int forbid(unsigned int number) {
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof *program, program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int count, char **words) {
    for (size_t i = 0; count > 2 && i < sizeof CALLS / sizeof *CALLS; i++) {
        if (strcmp(words[1], CALLS[i].name) == 0 && forbid(CALLS[i].number) == 0) {
            execv(words[2], words + 2);
        }
    }
    perror("forbidding");
    return 2;
}
