/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures of candidates out of the merged index that `setmov sync` keeps: whose
 * directories are not opened for it, and whose are.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/choose_vm.h"
#include "made_fingerprint.h"
#include "remove_tree.h"
#include "setmov/catalog_merged_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOSTS      3
#define BLOCKS     30000 /* of an image; some are sampled */
#define OFTEN      64    /* of them, so many are each there eight times */
#define WAIT_NS    50000000
#define WAIT_TIMES 1200
#define NAME       "/0123456789abcdef0123456789abcdef.md5-512.fingerprint"
#define LATER_NAME "/fedcba9876543210fedcba9876543210.md5-512.fingerprint"

static char cache[64];
static char names[HOSTS][8] = {"alpha", "beta", "gamma"}, here[] = "here";
static const struct catalog_kind kind = {.kind = DIGEST_MD5, .block_size = MADE_BLOCK_SIZE};
static struct config_host configured[HOSTS];
static struct config config = {.hosts = configured, .host_count = HOSTS};
static struct blocks_settings settings = {.kind = DIGEST_MD5, .block_sizes = {MADE_BLOCK_SIZE}};
static struct choose_vm_shared shared;

/* ---- what lies in the cache ------------------------------------------------------- */

static const char *in_cache(const char *directory, const char *name)
{
    static char paths[4][256];
    static size_t next;
    char *path = paths[next++ % 4];

    string_format(path, sizeof(paths[0]), "%s/%s%s", cache, directory, name);
    return path;
}

static const char *of_host(size_t host, const char *name)
{
    char directory[64];

    string_format(directory, sizeof(directory), "hosts/%s", names[host]);
    return in_cache(directory, name);
}

/* `first` blocks of the VM's disk, then others. */
static struct made_fingerprint make_image(size_t first, size_t salt)
{
    static uint64_t contents[BLOCKS];

    for (size_t i = 0; i < BLOCKS; i++) {
        contents[i] = i < first ? i : i + salt * BLOCKS;
        if (i < (size_t)OFTEN * FINGERPRINT_FREQUENT)
            contents[i] /= FINGERPRINT_FREQUENT;
    }
    return made_fingerprint(contents, BLOCKS);
}

static void put_image(const char *path, size_t first, size_t salt)
{
    struct made_fingerprint made = make_image(first, salt);
    FILE *file = fopen(path, "we");
    uint8_t *bytes;
    size_t length;

    assert_non_null(file);
    assert_int_equal(fingerprint_encode(&made.view, &bytes, &length, NULL), 0);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(bytes);
    made_fingerprint_release(&made);
}

/* How many blocks of the VM's disk the host has; the more the later it comes. */
static size_t shared_blocks(size_t host)
{
    return BLOCKS * (host + 1) / (HOSTS + 1);
}

/* As `setmov sync`; `count` of the hosts. True: the index counts for all of them. */
static bool merge(size_t count)
{
    const struct catalog_merged_options options = {.temporary = cache};
    struct catalog_merged_source sources[HOSTS];
    struct catalog_merged_file *file = NULL;
    struct error err = {""};
    char directories[HOSTS][256];
    bool current = true;

    for (size_t i = 0; i < count; i++) {
        string_copy(directories[i], sizeof(directories[i]), of_host(i, ""));
        sources[i] = (struct catalog_merged_source){names[i], directories[i]};
    }
    if (catalog_merged_file_open(in_cache("md5-512.merged", ""), sources, count, &kind, &options,
                                 &file, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++)
        current &= catalog_merged_file_is_current(file, i, directories[i], &kind);
    catalog_merged_file_close(file);
    return current;
}

/* Directories that were changed a moment ago could change again unseen, so it takes one. */
static void merge_for_good(size_t count)
{
    const struct timespec nap = {0, WAIT_NS};
    size_t tries = 0;

    while (!merge(count) && tries++ < WAIT_TIMES)
        nanosleep(&nap, NULL);
    assert_true(tries < WAIT_TIMES);
}

/* The directories do not change by it: who opened one would find nothing there. */
static void damage_all_fingerprints(void)
{
    for (size_t i = 0; i < HOSTS; i++)
        assert_int_equal(truncate(of_host(i, NAME), 100), 0);
}

static void damage_merged(off_t at)
{
    int fd = open(in_cache("md5-512.merged", ""), O_RDWR | O_CLOEXEC);
    struct stat status;
    uint8_t byte;

    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    if (at < 0)
        at += status.st_size;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* ---- the choice ------------------------------------------------------------------- */

struct choice {
    struct choose_vm vm;
    struct choose_vm_host hosts[HOSTS];
    struct choose_vm_disk disk;
};

static void begin(struct choice *choice)
{
    *choice = (struct choice){.vm = {.config = &config, .settings = &settings, .shared = &shared}};
    choice->vm.hosts = choice->hosts;
    choice->vm.host_count = HOSTS;
    choice->vm.disks = &choice->disk;
    choice->vm.disk_count = 1;
    for (size_t i = 0; i < HOSTS; i++)
        choice->hosts[i] = (struct choose_vm_host){.config = &configured[i], .is_known = true};
    assert_int_equal(fingerprint_file_open(in_cache("vm.fingerprint", ""), FINGERPRINT_PART_DIGESTS,
                                           false, &choice->disk.fingerprint, NULL),
                     0);
}

static void end(struct choice *choice)
{
    for (size_t i = 0; i < HOSTS; i++) {
        free(choice->hosts[i].figures);
        free(choice->hosts[i].unusable);
        vm_lines_release(&choice->hosts[i].notes);
    }
    vm_lines_release(&choice->vm.notes);
    fingerprint_file_close(choice->disk.fingerprint);
}

static void figures(struct choice *choice)
{
    struct error err = {""};

    begin(choice);
    if (choose_vm_figures(&choice->vm, &err) < 0)
        fail_msg("%s", err.text);
}

/* `first` of the disk's blocks are there; those that occur often are among them. */
static void assert_holds(const struct choose_vm_host *host, bool merged, size_t first)
{
    const size_t again = (size_t)OFTEN * (FINGERPRINT_FREQUENT - 1);
    uint64_t missing = (uint64_t)(BLOCKS - first) * MADE_BLOCK_SIZE;

    assert_null(host->unusable);
    assert_non_null(host->figures);
    assert_int_equal(host->is_merged, merged);
    assert_true(host->figures->low.bytes_to_send <= missing);
    assert_true(missing <= host->figures->high.bytes_to_send);
    assert_true(host->figures->low.identical_distinct <= first - again);
    assert_true(first - again <= host->figures->high.identical_distinct);
    assert_true(host->figures->low.identical_with_duplicates <= first);
    assert_true(first <= host->figures->high.identical_with_duplicates);
    /* None is so wide that it would hold everything. */
    assert_true(host->figures->high.bytes_to_send < (uint64_t)BLOCKS * MADE_BLOCK_SIZE);
}

static void assert_all_hold(const struct choice *choice, bool merged)
{
    for (size_t i = 0; i < HOSTS; i++)
        assert_holds(&choice->hosts[i], merged, shared_blocks(i));
}

/* ---- tests ------------------------------------------------------------------------ */

/* Nothing that could be found in the directories makes these figures. */
static void no_directory_is_opened_where_the_index_is_true(void **state)
{
    struct choice choice;

    (void)state;
    merge_for_good(HOSTS);
    damage_all_fingerprints();
    figures(&choice);
    assert_all_hold(&choice, true);
    assert_int_equal(choice.vm.notes.count, 0);
    end(&choice);
}

static void what_has_changed_since_is_read_from_the_directory(void **state)
{
    struct choice choice;

    (void)state;
    merge_for_good(HOSTS);
    put_image(of_host(1, LATER_NAME), BLOCKS, 7);
    figures(&choice);
    assert_holds(&choice.hosts[0], true, shared_blocks(0));
    assert_holds(&choice.hosts[1], false, BLOCKS);
    assert_holds(&choice.hosts[2], true, shared_blocks(2));
    end(&choice);
}

/* Made so shortly after a change that another one would not have been seen. */
static void what_has_just_changed_is_read_from_the_directory(void **state)
{
    struct choice choice;

    (void)state;
    merge_for_good(HOSTS);
    put_image(of_host(1, LATER_NAME), BLOCKS, 7);
    assert_false(merge(HOSTS));
    figures(&choice);
    assert_true(choice.hosts[0].is_merged);
    assert_holds(&choice.hosts[1], false, BLOCKS);
    end(&choice);
}

static void a_host_that_is_not_in_it_is_read_from_the_directory(void **state)
{
    struct choice choice;

    (void)state;
    merge_for_good(HOSTS - 1);
    figures(&choice);
    assert_true(choice.hosts[0].is_merged && choice.hosts[1].is_merged);
    assert_holds(&choice.hosts[2], false, shared_blocks(2));
    end(&choice);
}

static void a_host_that_was_never_read_has_no_figures(void **state)
{
    struct choice choice;
    struct error err = {""};

    (void)state;
    merge_for_good(HOSTS);
    begin(&choice);
    choice.hosts[1].is_known = false;
    assert_int_equal(choose_vm_figures(&choice.vm, &err), 0);
    assert_null(choice.hosts[1].figures);
    assert_holds(&choice.hosts[2], true, shared_blocks(2));
    end(&choice);
}

static void one_that_is_damaged_is_told_and_not_used(void **state)
{
    static const struct {
        off_t at;
        const char *what;
    } damages[] = {
        {0, "this is no merged index"},
        {80, "the merged index is damaged"},
        /* Among the codes or sets of hosts: only the checksum of all tells. */
        {-200, "the merged index is damaged"},
    };
    struct choice choice;

    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        unlink(in_cache("md5-512.merged", ""));
        merge_for_good(HOSTS);
        damage_merged(damages[i].at);
        figures(&choice);
        assert_all_hold(&choice, false);
        assert_int_equal(choice.vm.notes.count, 1);
        assert_non_null(strstr(choice.vm.notes.lines[0], "md5-512.merged"));
        assert_non_null(strstr(choice.vm.notes.lines[0], damages[i].what));
        end(&choice);
    }
    unlink(in_cache("md5-512.merged", ""));
}

static void none_is_no_matter(void **state)
{
    struct choice choice;

    (void)state;
    unlink(in_cache("md5-512.merged", ""));
    figures(&choice);
    assert_all_hold(&choice, false);
    assert_int_equal(choice.vm.notes.count, 0);
    end(&choice);
}

/* Under the name of one kind there lies the index of another. */
static void one_of_another_kind_is_not_used(void **state)
{
    const struct catalog_merged_options options = {.temporary = cache};
    const struct catalog_kind other = {.kind = DIGEST_SHA256, .block_size = 4096};
    struct catalog_merged_source source = {names[0], of_host(0, "")};
    struct catalog_merged_file *file = NULL;
    struct choice choice;

    (void)state;
    merge_for_good(HOSTS);
    unlink(in_cache("md5-512.merged", ""));
    assert_int_equal(catalog_merged_file_open(in_cache("md5-512.merged", ""), &source, 1, &other,
                                              &options, &file, NULL),
                     0);
    catalog_merged_file_close(file);
    figures(&choice);
    assert_all_hold(&choice, false);
    end(&choice);
    unlink(in_cache("md5-512.merged", ""));
}

/* ---- around ------------------------------------------------------------------------ */

static int put_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOSTS; i++) {
        put_image(of_host(i, NAME), shared_blocks(i), i + 1);
        if (unlink(of_host(i, LATER_NAME)) < 0 && errno != ENOENT)
            return 1;
    }
    return 0;
}

static int make_cache(void **state)
{
    (void)state;
    string_copy(cache, sizeof(cache), "/tmp/setmov-choose.XXXXXX");
    if (mkdtemp(cache) == NULL || mkdir(in_cache("hosts", ""), 0700) < 0)
        return 1;
    config.sync.cache = cache;
    config.setmov.name = here;
    for (size_t i = 0; i < HOSTS; i++) {
        configured[i].name = names[i];
        if (mkdir(of_host(i, ""), 0700) < 0)
            return 1;
    }
    put_image(in_cache("vm.fingerprint", ""), BLOCKS, 0);
    return 0;
}

static int remove_cache(void **state)
{
    (void)state;
    return remove_tree(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_directory_is_opened_where_the_index_is_true, put_all),
        cmocka_unit_test_setup(what_has_changed_since_is_read_from_the_directory, put_all),
        cmocka_unit_test_setup(what_has_just_changed_is_read_from_the_directory, put_all),
        cmocka_unit_test_setup(a_host_that_is_not_in_it_is_read_from_the_directory, put_all),
        cmocka_unit_test_setup(a_host_that_was_never_read_has_no_figures, put_all),
        cmocka_unit_test_setup(one_that_is_damaged_is_told_and_not_used, put_all),
        cmocka_unit_test_setup(none_is_no_matter, put_all),
        cmocka_unit_test_setup(one_of_another_kind_is_not_used, put_all),
    };

    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
