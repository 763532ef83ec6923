/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Holds the contracts of src/gate/gate.h: the decision by itself, and the child that makes it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gate/gate.h"
#include "gate/texts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* ---- a ranking of three hosts: beta is here, gamma and delta are others ---- */

struct park {
    struct config config;
    struct vm_incoming vm;
    struct vm_incoming_disk disk;
    struct placement_candidate candidates[3];
    struct placement_move_rank ranks[3];
    struct gate_ranking ranking;
    struct gate_facts facts;
    struct gate_decision decision;
};

static void set_bytes(struct park *park, size_t host, uint64_t bytes)
{
    struct similarity_estimate *figures = &park->candidates[host].figures;

    figures->likely.bytes_to_send = bytes;
    figures->likely.total = 1000;
}

static void make_park(struct park *park, enum config_policy policy, uint64_t here, uint64_t gamma,
                      uint64_t delta)
{
    static const char *const names[] = {"beta", "gamma", "delta"};
    static char directory[] = "/srv/images", *directories[] = {directory}, beta[] = "beta";
    static char name[] = "vm1", target[] = "vda", path[] = "/srv/images/vm1.raw";

    *park = (struct park){.config = {.setmov.name = beta}};
    park->config.hook.policy = policy;
    park->config.hook.override.metadata = true;
    park->config.hook.margin = (struct config_margin){.bytes = 64 * MIB, .percent = 10};
    park->config.hook.request_expiry_s = 900;
    park->config.hook.directories = (struct config_list){.items = directories, .count = 1};
    park->disk = (struct vm_incoming_disk){.target = target, .path = path};
    park->vm = (struct vm_incoming){.name = name, .disks = &park->disk, .disk_count = 1};
    for (size_t i = 0; i < 3; i++)
        park->candidates[i].name = names[i];
    set_bytes(park, 0, here);
    set_bytes(park, 1, gamma);
    set_bytes(park, 2, delta);
    /* Here comes last, as a host that is out: that decides nothing. */
    for (size_t i = 0; i < 3; i++)
        park->ranks[i] = (struct placement_move_rank){.candidate = (i + 1) % 3, .eligible = i < 2};
    park->ranking = (struct gate_ranking){
        .holder = "alpha", .candidates = park->candidates, .count = 3, .disks = 1};
    park->ranking.move = (struct placement_move){.ranks = park->ranks, .count = 3, .eligible = 2};
    park->facts =
        (struct gate_facts){.config = &park->config, .vm = &park->vm, .ranking = &park->ranking};
}

static void decide(struct park *park)
{
    park->facts.astray = gate_astray(&park->config, &park->vm);
    gate_decide(&park->facts, &park->decision);
    assert_int_equal(park->decision.answer.refused, park->decision.verdict != GATE_PASS);
    assert_int_equal(park->decision.answer.refusal[0] != '\0', park->decision.answer.refused);
    assert_true(park->decision.answer.log[0] != '\0');
}

static enum gate_verdict verdict(enum config_policy policy, uint64_t here, uint64_t gamma,
                                 uint64_t delta)
{
    struct park park;

    make_park(&park, policy, here, gamma, delta);
    decide(&park);
    return park.decision.verdict;
}

static void both_parts_of_the_margin_must_be_exceeded(void **state)
{
    (void)state;
    /* 64 MiB: more than 10 % of less than 640 MiB. */
    assert_int_equal(verdict(CONFIG_ENFORCE, 100 * MIB, 36 * MIB, 100 * MIB), GATE_PASS);
    assert_int_equal(verdict(CONFIG_ENFORCE, 100 * MIB, 36 * MIB - 1, 100 * MIB), GATE_REFUSE);
    /* 10 %: more than 64 MiB. */
    assert_int_equal(verdict(CONFIG_ENFORCE, 1000 * MIB, 900 * MIB, 1000 * MIB), GATE_PASS);
    assert_int_equal(verdict(CONFIG_ENFORCE, 1000 * MIB, 900 * MIB - 1, 1000 * MIB), GATE_REFUSE);
    assert_int_equal(verdict(CONFIG_ENFORCE, 100 * MIB, UINT64_MAX, 100 * MIB), GATE_PASS);
    assert_int_equal(verdict(CONFIG_ENFORCE, UINT64_MAX, 0, 0), GATE_REFUSE);
}

static void policies_differ_only_where_another_host_is_better(void **state)
{
    (void)state;
    assert_int_equal(verdict(CONFIG_ADVISE, 100 * MIB, 0, 0), GATE_PASS);
    assert_int_equal(verdict(CONFIG_ENFORCE, 100 * MIB, 0, 0), GATE_REFUSE);
    assert_int_equal(verdict(CONFIG_REDIRECT, 100 * MIB, 0, 0), GATE_REDIRECT);
    assert_int_equal(verdict(CONFIG_REDIRECT, 0, 0, 0), GATE_PASS);
}

static void the_first_in_the_ranking_that_is_better_is_named(void **state)
{
    struct park park;

    (void)state;
    make_park(&park, CONFIG_ENFORCE, 200 * MIB, 190 * MIB, 10 * MIB);
    decide(&park);
    assert_int_equal(park.decision.better, 2);
    make_park(&park, CONFIG_ENFORCE, 200 * MIB, 90 * MIB, 10 * MIB);
    decide(&park);
    assert_int_equal(park.decision.better, 1);
    /* One that is out is never named. */
    park.ranking.move.eligible = 0;
    decide(&park);
    assert_int_equal(park.decision.verdict, GATE_PASS);
    assert_non_null(strstr(park.decision.answer.log, "no other host can take it"));
}

static void nobody_is_asked_to_carry_out_what_only_this_host_knows(void **state)
{
    struct park park;

    (void)state;
    make_park(&park, CONFIG_REDIRECT, 100 * MIB, 0, 0);
    park.ranking.holder = "beta";
    decide(&park);
    assert_int_equal(park.decision.verdict, GATE_REFUSE);
}

static void a_request_that_failed_is_told(void **state)
{
    struct park park;

    (void)state;
    make_park(&park, CONFIG_REDIRECT, 100 * MIB, 0, 0);
    decide(&park);
    assert_non_null(strstr(park.decision.answer.refusal, "alpha will migrate it there by itself"));
    gate_requested(&park.facts, "no space", &park.decision);
    assert_int_equal(park.decision.verdict, GATE_REFUSE);
    assert_int_equal(park.decision.priority, LOG_ERR);
    assert_null(strstr(park.decision.answer.refusal, "by itself"));
    assert_non_null(strstr(park.decision.answer.refusal, "no space"));
    assert_non_null(strstr(park.decision.answer.log, "no space"));
}

static void what_is_not_known_passes_unless_it_is_said_otherwise(void **state)
{
    struct park park;

    (void)state;
    for (int policy = CONFIG_ADVISE; policy <= CONFIG_REDIRECT; policy++) {
        make_park(&park, (enum config_policy)policy, 0, 0, 0);
        park.facts.ranking = NULL;
        park.facts.unknown = "who knows";
        decide(&park);
        assert_int_equal(park.decision.verdict, GATE_PASS);
        park.config.hook.unknown = CONFIG_REFUSE;
        decide(&park);
        assert_int_equal(park.decision.verdict, GATE_REFUSE);
        assert_non_null(strstr(park.decision.answer.refusal, "who knows"));
    }
}

static void lines_are_cut_to_fit_and_stay_one(void **state)
{
    struct park park;
    char name[2000], why[2 * GATE_LINE_BYTES];

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    name[1990] = '\n';
    memset(why, 'w', sizeof(why) - 1);
    why[sizeof(why) - 1] = '\0';
    make_park(&park, CONFIG_ENFORCE, 0, 0, 0);
    park.vm.name = name;
    park.config.hook.unknown = CONFIG_REFUSE;
    park.facts.ranking = NULL;
    park.facts.unknown = why;
    decide(&park);
    assert_int_equal(strlen(park.decision.answer.refusal), GATE_LINE_BYTES - 1);
    assert_null(strchr(park.decision.answer.refusal, '\n'));
}

/* ---- the child ---- */

static bool guard(gate_work *work, unsigned timeout_s, struct gate_answer *answer,
                  struct error *err)
{
    *answer = (struct gate_answer){.refused = false};
    *err = (struct error){""};
    return gate_guard(work, NULL, timeout_s, answer, err);
}

static void no_child_is_left(void)
{
    while (waitpid(-1, NULL, 0) > 0)
        continue;
}

static const struct gate_answer refusal = {.refused = true, .refusal = "no", .log = "said no"};

static void answers(void *context, int fd)
{
    (void)context;
    gate_give(fd, &refusal);
}

static void answers_and_hangs(void *context, int fd)
{
    answers(context, fd);
    for (;;)
        pause();
}

static void answers_and_crashes(void *context, int fd)
{
    answers(context, fd);
    raise(SIGKILL);
}

static void crashes(void *context, int fd)
{
    (void)context, (void)fd;
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void says_nothing(void *context, int fd)
{
    (void)context, (void)fd;
}

static void hangs(void *context, int fd)
{
    (void)context, (void)fd;
    for (;;)
        pause();
}

static void stutters(void *context, int fd)
{
    (void)context;
    if (write(fd, &refusal, sizeof(refusal) - 1) < 0)
        return;
}

static void raves(void *context, int fd)
{
    struct gate_answer nonsense;

    (void)context;
    memset(&nonsense, 0xa5, sizeof(nonsense));
    gate_give(fd, &nonsense);
}

static void speaks_in_lines(void *context, int fd)
{
    struct gate_answer lines = {.refused = true, .refusal = "one\ntwo"};

    (void)context;
    gate_give(fd, &lines);
}

static void refuses_without_a_word(void *context, int fd)
{
    struct gate_answer silent = {.refused = true, .log = "log"};

    (void)context;
    gate_give(fd, &silent);
}

static void builds_what_it_refuses(void *context, int fd)
{
    struct gate_answer both = {.refused = true, .refusal = "no", .builds = true};

    (void)context;
    gate_give(fd, &both);
}

static void builds(void *context, int fd)
{
    struct gate_answer answer = {.builds = true};

    (void)context;
    gate_give(fd, &answer);
}

static void prints(void *context, int fd)
{
    (void)context;
    if (write(STDOUT_FILENO, "<domain/>", 9) < 0 || write(STDERR_FILENO, "oops", 4) < 0)
        return;
    gate_give(fd, &refusal);
}

static void takes_all_memory(void *context, int fd)
{
    (void)context;
    for (int i = 0; i < 4096; i++) {
        char *block = malloc(1 << 20);

        if (block == NULL)
            return;
        memset(block, 1, 1 << 20);
    }
    gate_give(fd, &refusal);
}

static void an_answer_arrives(void **state)
{
    struct gate_answer answer;
    struct error err;

    (void)state;
    assert_true(guard(answers, 60, &answer, &err));
    assert_memory_equal(&answer, &refusal, sizeof(answer));
    assert_true(guard(builds, 60, &answer, &err));
    assert_true(answer.builds && !answer.refused);
    no_child_is_left();
}

static void an_answer_counts_whatever_comes_after(void **state)
{
    struct gate_answer answer;
    struct error err;

    (void)state;
    assert_true(guard(answers_and_hangs, 3600, &answer, &err)); /* nobody waits that long */
    assert_string_equal(answer.refusal, "no");
    assert_true(guard(answers_and_crashes, 60, &answer, &err));
    assert_string_equal(answer.refusal, "no");
    no_child_is_left();
}

static void without_an_answer_there_is_a_reason(void **state)
{
    static const struct {
        gate_work *work;
        const char *why;
        unsigned timeout_s;
    } cases[] = {
        {crashes, "ended by signal 11", 60},
        {says_nothing, "ended without a result", 60},
        {hangs, "no decision within 1 s", 1},
        {stutters, "ended without a result", 60},
        {raves, "makes no sense", 60},
        {speaks_in_lines, "makes no sense", 60},
        {refuses_without_a_word, "makes no sense", 60},
        {builds_what_it_refuses, "makes no sense", 60},
    };
    struct gate_answer answer;
    struct error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_false(guard(cases[i].work, cases[i].timeout_s, &answer, &err));
        if (strstr(err.text, cases[i].why) == NULL)
            fail_msg("%s: %s", cases[i].why, err.text);
        assert_false(answer.refused);
    }
    no_child_is_left();
}

static void its_memory_is_limited(void **state)
{
    struct gate_answer answer;
    struct error err;

    (void)state;
    if (getenv("SETMOV_SANITIZED") != NULL)
        skip(); /* whose own memory could not be had then */
    assert_false(guard(takes_all_memory, 60, &answer, &err));
    no_child_is_left();
}

/* libvirt takes it for the domain's XML, and waits until it is closed. */
static void what_it_prints_goes_nowhere(void **state)
{
    int ends[2], out = dup(STDOUT_FILENO), err_fd = dup(STDERR_FILENO);
    struct gate_answer answer;
    struct error err;
    char byte;
    bool given;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    given = guard(prints, 60, &answer, &err);
    dup2(out, STDOUT_FILENO);
    dup2(err_fd, STDERR_FILENO);
    close(ends[1]);
    assert_true(given);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    close(out);
    close(err_fd);
}

/* ---- the program that builds disks ---- */

/* Runs a script in its place; the text of a failure, or of a refusal. */
static int start(const char *script, unsigned silence_s, char *ret_line)
{
    char path[] = "/tmp/test_gate-XXXXXX";
    int fd = mkstemp(path), xml = memfd_create("xml", MFD_CLOEXEC), rc;
    struct gate_call call = {.silence_s = silence_s, .builder = path};
    struct gate_answer answer = {.refused = false};
    struct error err = {""};

    assert_true(fd >= 0 && xml >= 0);
    assert_int_equal(write(fd, script, strlen(script)), strlen(script));
    assert_int_equal(fchmod(fd, 0700), 0);
    close(fd);
    rc = gate_start(&call, xml, &answer, &err);
    close(xml);
    unlink(path);
    prctl(PR_SET_PDEATHSIG, 0);
    string_copy(ret_line, GATE_LINE_BYTES, rc < 0 ? err.text : answer.refusal);
    return rc;
}

static void a_builder_that_gets_on_has_all_the_time(void **state)
{
    char line[GATE_LINE_BYTES];

    (void)state;
    /* Three seconds in all, and silent for half a second at a time. */
    assert_int_equal(
        start("#!/bin/sh\nfor i in 1 2 3 4 5 6; do sleep 0.5; echo .; done\nexit 0\n", 2, line), 0);
    assert_string_equal(line, "");
    assert_int_equal(start("#!/bin/sh\necho no >&2; exit 1\n", 60, line), 0);
    assert_string_equal(line, "no");
    no_child_is_left();
}

static void a_builder_that_is_silent_is_ended(void **state)
{
    static const char *const scripts[] = {
        "#!/bin/sh\nexec sleep 1000\n",
        /* Words are no sign of getting on. */
        "#!/bin/sh\nwhile sleep 0.1; do echo still here >&2; done\n",
        "#!/bin/sh\necho .; exec sleep 1000\n",
    };
    char line[GATE_LINE_BYTES];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(scripts); i++) {
        assert_int_equal(start(scripts[i], 1, line), -ETIMEDOUT);
        assert_string_equal(line, "setmov-apply did not get on for 1 s");
    }
    no_child_is_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_parts_of_the_margin_must_be_exceeded),
        cmocka_unit_test(policies_differ_only_where_another_host_is_better),
        cmocka_unit_test(the_first_in_the_ranking_that_is_better_is_named),
        cmocka_unit_test(nobody_is_asked_to_carry_out_what_only_this_host_knows),
        cmocka_unit_test(a_request_that_failed_is_told),
        cmocka_unit_test(what_is_not_known_passes_unless_it_is_said_otherwise),
        cmocka_unit_test(lines_are_cut_to_fit_and_stay_one),
        cmocka_unit_test(an_answer_arrives),
        cmocka_unit_test(an_answer_counts_whatever_comes_after),
        cmocka_unit_test(without_an_answer_there_is_a_reason),
        cmocka_unit_test(its_memory_is_limited),
        cmocka_unit_test(what_it_prints_goes_nowhere),
        cmocka_unit_test(a_builder_that_gets_on_has_all_the_time),
        cmocka_unit_test(a_builder_that_is_silent_is_ended),
    };

    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
