/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Many tasks at once, each with a time limit: those that hang are given up and
 * harm no other. Hanging is by hand, and by peers that take a connection and
 * say nothing; what is told to end, ends, and gives back what it was left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG_S  60.0 /* for what is to happen at once: only a defect lets it pass */
#define SHORT_S 0.05 /* for what never happens */
#define MANY    200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* A task and what became of it. Under `lock`. */
struct fate {
    bool hangs, told_to_end;
    int result;
    unsigned begun, released;
};

static unsigned under_way, most_under_way; /* under `lock` */

static int run(void *context, struct error *err)
{
    struct fate *fate = context;
    int result;

    pthread_mutex_lock(&lock);
    fate->begun++;
    under_way++;
    if (under_way > most_under_way)
        most_under_way = under_way;
    pthread_cond_broadcast(&changed);
    while (fate->hangs && !fate->told_to_end)
        pthread_cond_wait(&changed, &lock);
    under_way--;
    result = fate->result;
    pthread_mutex_unlock(&lock);
    return result < 0 ? error_set(err, result, "failed with %d", result) : result;
}

static void release(void *context)
{
    struct fate *fate = context;

    pthread_mutex_lock(&lock);
    fate->released++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Lets what hangs end, and waits until it has given back its context. */
static void end(struct fate *fate)
{
    pthread_mutex_lock(&lock);
    fate->told_to_end = true;
    pthread_cond_broadcast(&changed);
    while (fate->released == 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void make(struct vm_task *tasks, struct fate *fates, size_t count)
{
    memset(fates, 0, count * sizeof(*fates));
    for (size_t i = 0; i < count; i++)
        tasks[i] = (struct vm_task){run, release, &fates[i], 77, {"old"}};
    under_way = most_under_way = 0;
}

/* ---- results ---------------------------------------------------------------------- */

static void all_are_run_and_tell_how(void **state)
{
    static struct vm_task tasks[MANY];
    static struct fate fates[MANY];
    static const unsigned at_once[] = {0, 1, 3, MANY, MANY + 1};
    struct error err = {""};

    (void)state;
    for (size_t round = 0; round < ARRAY_LENGTH(at_once); round++) {
        make(tasks, fates, MANY);
        for (size_t i = 0; i < MANY; i++)
            fates[i].result = i % 7 == 3 ? -(int)i : 0;
        assert_int_equal(vm_tasks_run(tasks, MANY, at_once[round], LONG_S, NULL, NULL, &err), 0);
        for (size_t i = 0; i < MANY; i++) {
            char expected[64] = "";

            if (fates[i].result < 0)
                string_format(expected, sizeof(expected), "failed with %d", fates[i].result);
            assert_int_equal(fates[i].begun, 1);
            assert_int_equal(fates[i].released, 0);
            assert_ptr_equal(tasks[i].context, &fates[i]);
            assert_int_equal(tasks[i].result, fates[i].result);
            assert_string_equal(tasks[i].error.text, expected);
        }
        assert_in_range(most_under_way, 1, at_once[round] ? at_once[round] : 16);
    }
    assert_int_equal(vm_tasks_run(NULL, 0, 0, LONG_S, NULL, NULL, &err), 0);
}

static bool all_have_begun(void *context)
{
    bool begun;

    pthread_mutex_lock(&lock);
    begun = most_under_way == *(const unsigned *)context;
    pthread_mutex_unlock(&lock);
    return begun;
}

/* As many as may be are under way at once: all of those hang before any ends. */
static void they_run_at_once(void **state)
{
    struct vm_task tasks[20];
    struct fate fates[20];
    unsigned expected = 16;

    (void)state;
    make(tasks, fates, 20);
    for (size_t i = 0; i < 20; i++)
        fates[i].hangs = true;
    assert_int_equal(vm_tasks_run(tasks, 20, 0, LONG_S, all_have_begun, &expected, NULL), 0);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(tasks[i].result, -ECANCELED);
        if (i < 16)
            end(&fates[i]);
    }
}

/* ---- hanging ---------------------------------------------------------------------- */

static void one_that_hangs_is_given_up(void **state)
{
    struct vm_task tasks[3];
    struct fate fates[3];

    (void)state;
    make(tasks, fates, 3);
    fates[0].hangs = true;
    fates[2].result = -EIO;
    /* One at a time: the first must make room. */
    assert_int_equal(vm_tasks_run(tasks, 3, 1, 1, NULL, NULL, NULL), 0);
    assert_int_equal(tasks[0].result, -ETIMEDOUT);
    assert_string_equal(tasks[0].error.text, "no answer within 1 s");
    assert_null(tasks[0].context);
    assert_int_equal(fates[0].released, 0); /* its thread has it yet */
    assert_int_equal(tasks[1].result, 0);
    assert_int_equal(tasks[2].result, -EIO);
    end(&fates[0]);
    assert_int_equal(fates[0].released, 1);
}

static void all_hang(void **state)
{
    static struct vm_task tasks[40];
    static struct fate fates[40];

    (void)state;
    make(tasks, fates, 40);
    for (size_t i = 0; i < 40; i++)
        fates[i].hangs = true;
    assert_int_equal(vm_tasks_run(tasks, 40, 20, SHORT_S, NULL, NULL, NULL), 0);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(tasks[i].result, -ETIMEDOUT);
        assert_null(tasks[i].context);
        end(&fates[i]);
    }
}

/* ---- stopping ---------------------------------------------------------------------- */

static bool at_once(void *context)
{
    (void)context;
    return true;
}

static bool second_has_begun(void *context)
{
    const struct fate *fates = context;
    bool begun;

    pthread_mutex_lock(&lock);
    begun = fates[1].begun > 0;
    pthread_mutex_unlock(&lock);
    return begun;
}

static void stopped_before_any(void **state)
{
    struct vm_task tasks[2];
    struct fate fates[2];

    (void)state;
    make(tasks, fates, 2);
    assert_int_equal(vm_tasks_run(tasks, 2, 0, LONG_S, at_once, NULL, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(tasks[i].result, -ECANCELED);
        assert_string_equal(tasks[i].error.text, "stopped");
        assert_ptr_equal(tasks[i].context, &fates[i]); /* never begun: the caller's */
        assert_int_equal(fates[i].begun, 0);
    }
}

static void stopped_while_one_hangs(void **state)
{
    struct vm_task tasks[3];
    struct fate fates[3];

    (void)state;
    make(tasks, fates, 3);
    fates[0].result = -EIO;
    fates[1].hangs = true;
    assert_int_equal(vm_tasks_run(tasks, 3, 1, LONG_S, second_has_begun, fates, NULL), 0);
    assert_int_equal(tasks[0].result, -EIO);
    assert_ptr_equal(tasks[0].context, &fates[0]);
    assert_int_equal(tasks[1].result, -ECANCELED);
    assert_null(tasks[1].context);
    assert_int_equal(tasks[2].result, -ECANCELED);
    assert_ptr_equal(tasks[2].context, &fates[2]);
    assert_int_equal(fates[2].begun, 0);
    end(&fates[1]);
}

/* ---- peers of all kinds -------------------------------------------------------------- */

/* What they say to whoever connects. */
static const struct stand_in {
    const char *name, *says;
    size_t length;
    bool closes;
    int result;
} stand_ins[] = {
    {"silent", "", 0, false, -ETIMEDOUT},
    {"half a length", "\0\0", 2, false, -ETIMEDOUT},
    {"a length that does not come", "\0\0\1\0abc", 7, false, -ETIMEDOUT},
    {"closes", "", 0, true, -EIO},
    {"another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", 28, true, -EIO},
    {"a length of zero", "\0\0\0\0\0\0\0\0", 8, false, -EIO},
    {"a huge length", "\377\377\377\377", 4, false, -EIO},
    {"half an answer", "\0\0\0\34\40\0\200\206\0\0\0\1", 12, true, -EIO},
};

#define STAND_INS ARRAY_LENGTH(stand_ins)

struct peer_call {
    char uri[64];
    unsigned released;
};

static int open_and_close(void *context, struct error *err)
{
    struct peer_call *call = context;
    struct vm_peer *peer = NULL;
    int r = vm_peer_open(call->uri, &peer, err);

    vm_peer_close(peer);
    return r;
}

static void release_call(void *context)
{
    struct peer_call *call = context;

    pthread_mutex_lock(&lock);
    call->released++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Takes one connection, says its line and goes on holding it, or not. */
struct server {
    const struct stand_in *kind;
    int listener, connection;
    pthread_t thread;
};

static void *serve(void *argument)
{
    struct server *server = argument;
    int connection = accept(server->listener, NULL, NULL);

    if (connection < 0)
        return NULL;
    if (server->kind->length > 0 &&
        send(connection, server->kind->says, server->kind->length, MSG_NOSIGNAL) < 0)
        perror("send");
    if (server->kind->closes)
        shutdown(connection, SHUT_WR);
    server->connection = connection;
    return NULL;
}

static void listen_at(int *ret_listener, char *uri, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    string_format(uri, size, "qemu+tcp://127.0.0.1:%d/system", ntohs(address.sin_port));
    *ret_listener = listener;
}

static void end_servers(struct server *servers)
{
    for (size_t i = 0; i < STAND_INS; i++) {
        pthread_join(servers[i].thread, NULL);
        close(servers[i].connection);
        close(servers[i].listener);
    }
}

static void wait_for_release(struct peer_call *call)
{
    pthread_mutex_lock(&lock);
    while (call->released == 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* Each gets its own end; the good one among them, and one that refuses, are as if alone. */
static void peers_that_are_none(void **state)
{
    struct server servers[STAND_INS];
    struct peer_call calls[STAND_INS + 2] = {{.released = 0}};
    struct vm_task tasks[STAND_INS + 2];
    int refusing;

    (void)state;
    for (size_t i = 0; i < STAND_INS; i++) {
        servers[i] = (struct server){.kind = &stand_ins[i], .connection = -1};
        listen_at(&servers[i].listener, calls[i].uri, sizeof(calls[i].uri));
        assert_int_equal(pthread_create(&servers[i].thread, NULL, serve, &servers[i]), 0);
    }
    listen_at(&refusing, calls[STAND_INS].uri, sizeof(calls[STAND_INS].uri));
    close(refusing);
    string_copy(calls[STAND_INS + 1].uri, sizeof(calls[STAND_INS + 1].uri), "test:///default");
    for (size_t i = 0; i < STAND_INS + 2; i++)
        tasks[i] =
            (struct vm_task){.run = open_and_close, .release = release_call, .context = &calls[i]};
    assert_int_equal(vm_tasks_run(tasks, STAND_INS + 2, 0, 3, NULL, NULL, NULL), 0);
    end_servers(servers);
    for (size_t i = 0; i < STAND_INS; i++) {
        if (tasks[i].result != stand_ins[i].result)
            fail_msg("%s: %d, %s", stand_ins[i].name, tasks[i].result, tasks[i].error.text);
        assert_true(strlen(tasks[i].error.text) > 10);
        if (!tasks[i].context)
            wait_for_release(&calls[i]);
    }
    assert_int_equal(tasks[STAND_INS].result, -EIO);
    assert_non_null(strstr(tasks[STAND_INS].error.text, "Connection refused"));
    assert_int_equal(tasks[STAND_INS + 1].result, 0);
    assert_string_equal(tasks[STAND_INS + 1].error.text, "");
}

/* For how the program ends. */
static void threads_were_left(void **state)
{
    (void)state;
    assert_true(vm_peer_leave());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_run_and_tell_how),
        cmocka_unit_test(they_run_at_once),
        cmocka_unit_test(one_that_hangs_is_given_up),
        cmocka_unit_test(threads_were_left),
        cmocka_unit_test(all_hang),
        cmocka_unit_test(stopped_before_any),
        cmocka_unit_test(stopped_while_one_hangs),
        cmocka_unit_test(peers_that_are_none),
    };

    vm_peer_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
