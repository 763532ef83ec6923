/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is ended at the end: programs that were started meanwhile, not those that were there before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_peer.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start(void)
{
    pid_t child = fork();

    if (child == 0) {
        alarm(60); /* should this test be ended itself */
        pause();
        _exit(0);
    }
    assert_true(child > 0);
    return child;
}

static void who_was_there_before_stays(void **state)
{
    pid_t before = start(), meanwhile;
    int status;

    (void)state;
    vm_peer_prepare();
    meanwhile = start();
    assert_false(vm_peer_leave()); /* no thread was ever started */
    assert_int_equal(waitpid(meanwhile, &status, 0), meanwhile);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    kill(before, SIGKILL);
    assert_int_equal(waitpid(before, &status, 0), before);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_was_there_before_stays)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
