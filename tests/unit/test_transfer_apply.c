/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plans written by hand, carried out: what no source would make as well. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/base_new_file.h"
#include "setmov/catalog.h"
#include "setmov/transfer_apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB         ((size_t)1 << 20)
#define DONOR_BYTES (4 * MIB + 1000)

static char work[64];

static const char *at(const char *name)
{
    static char paths[8][128];
    static size_t next;
    char *path = paths[next++ % ARRAY_LENGTH(paths)];

    assert_true(string_format(path, sizeof(paths[0]), "%s/%s", work, name));
    return path;
}

/* ---- what is done to names ------------------------------------------------------------- */

/* Once image two was refused its name: 'I' an image's went, 'D' their directory is synced, 'L' a
   lease's name went. */
static struct {
    bool refuse_two, refuse_sync;
    bool refused;
    char done[32];
} names;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_linkat(int from, const char *path, int to, const char *name, int flags);
int __wrap_linkat(int from, const char *path, int to, const char *name, int flags);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_unlinkat(int directory, const char *name, int flags);
int __wrap_unlinkat(int directory, const char *name, int flags);

static void note(char what)
{
    size_t length = strlen(names.done);

    if (names.refused && length + 1 < sizeof(names.done))
        names.done[length] = what;
}

int __wrap_fsync(int fd)
{
    struct stat status, images;
    char path[128];

    string_format(path, sizeof(path), "%s/images", work);
    if (fstat(fd, &status) == 0 && stat(path, &images) == 0 && status.st_ino == images.st_ino) {
        note('D');
        errno = EIO;
        return names.refused && names.refuse_sync ? -1 : __real_fsync(fd);
    }
    return __real_fsync(fd);
}

int __wrap_linkat(int from, const char *path, int to, const char *name, int flags)
{
    if (!names.refuse_two || strcmp(name, "two") != 0)
        return __real_linkat(from, path, to, name, flags);
    names.refused = true;
    errno = ENOSPC;
    return -1;
}

int __wrap_unlink(const char *path)
{
    if (string_ends_with(path, ".lease"))
        note('L');
    return __real_unlink(path);
}

int __wrap_unlinkat(int directory, const char *name, int flags)
{
    if (strcmp(name, "one") == 0 || strcmp(name, "two") == 0)
        note('I');
    return __real_unlinkat(directory, name, flags);
}

/* What byte `offset` of the donor is. */
static uint8_t donor_byte(size_t offset)
{
    uint64_t value = (offset + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint8_t)(value >> 56);
}

static int begin(void **state)
{
    struct error err = {""};
    struct new_file file;
    struct fingerprint_wish wish = {.kind = DIGEST_SHA256, .block_size = 4096};
    struct catalog_kind kind = {.kind = DIGEST_SHA256, .block_size = 4096};
    char hash[CATALOG_HASH_BYTES], name[CATALOG_NAME_BYTES], index[CATALOG_NAME_BYTES + 16];
    uint8_t *bytes = malloc(DONOR_BYTES);
    struct image *image;

    (void)state;
    string_copy(work, sizeof(work), "/tmp/setmov-apply-XXXXXX");
    assert_non_null(mkdtemp(work));
    assert_int_equal(mkdir(at("index"), 0700), 0);
    assert_int_equal(mkdir(at("images"), 0700), 0);
    for (size_t i = 0; i < DONOR_BYTES; i++)
        bytes[i] = donor_byte(i);
    assert_int_equal(new_file_beside(at("donor"), &file, &err), 0);
    assert_int_equal(new_file_write(&file, bytes, DONOR_BYTES, 0, &err), 0);
    assert_int_equal(new_file_publish(&file, &err), 0);
    new_file_release(&file);
    free(bytes);
    catalog_hash(at("donor"), hash);
    catalog_name_make(hash, &kind, name);
    assert_true(string_format(index, sizeof(index), "index/%s", name));
    wish.path = at(index);
    assert_int_equal(
        image_open(at("donor"), &(struct image_options){.format = "raw"}, &image, &err), 0);
    assert_int_equal(fingerprint_build(image, &wish, 1, NULL, NULL, &err), 0);
    image_close(image);
    return 0;
}

static void empty(const char *directory)
{
    DIR *entries = opendir(directory);
    const struct dirent *entry;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        char path[512];

        string_format(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlink(path) < 0) {
            empty(path);
            rmdir(path);
        }
    }
    if (entries != NULL)
        closedir(entries);
}

static int end(void **state)
{
    (void)state;
    empty(work);
    return rmdir(work);
}

/* ---- plans ----------------------------------------------------------------------------- */

struct made {
    struct transfer_plan plan;
    struct transfer_donor donor;
    struct transfer_image images[2];
    struct transfer_extent extents[2][32];
    uint8_t hashes[32][TRANSFER_HASH_BYTES];
    uint8_t *expected[2]; /* what the images shall be */
};

static void make(struct made *made, size_t images, uint64_t size)
{
    static char name[] = "vm", raw[] = "raw";

    *made = (struct made){.plan = {.vm_name = name,
                                   .kind = DIGEST_SHA256,
                                   .block_size = 4096,
                                   .donors = &made->donor,
                                   .donor_count = 1,
                                   .images = made->images,
                                   .image_count = images,
                                   .hashes = made->hashes}};
    catalog_hash(at("donor"), made->donor.id);
    for (size_t i = 0; i < images; i++) {
        made->images[i].path = strdup(at(i == 0 ? "images/one" : "images/two"));
        made->images[i].format = raw;
        made->images[i].virtual_size = size;
        made->images[i].extents = made->extents[i];
        made->expected[i] = calloc(1, size);
    }
}

static void add(struct made *made, size_t image, enum transfer_kind kind, uint64_t offset,
                size_t length, uint32_t source, uint64_t from)
{
    struct transfer_image *to = &made->images[image];
    uint8_t *expected = made->expected[image] + offset;
    struct transfer_extent extent = {offset, (uint32_t)length, source, from, 0, kind};

    for (size_t i = 0; i < length && kind == TRANSFER_COPY; i++)
        expected[i] = from + i < DONOR_BYTES ? donor_byte(from + i) : 0;
    if (kind == TRANSFER_COPY) {
        extent.hash = made->plan.hash_count;
        transfer_sha256(expected, length, made->hashes[made->plan.hash_count++]);
    }
    if (kind == TRANSFER_REPLICATE)
        memcpy(expected, made->expected[source] + from, length);
    made->extents[image][to->extent_count++] = extent;
}

static void finish(struct made *made)
{
    for (size_t i = 0; i < made->plan.image_count; i++) {
        struct transfer_content content;
        uint64_t size = made->images[i].virtual_size;

        assert_int_equal(transfer_content_init(&content, size), 0);
        for (size_t piece = 0; piece < content.count; piece++) {
            uint64_t offset = piece * TRANSFER_PIECE_BYTES, left = size - offset;

            transfer_content_piece(&content, piece, made->expected[i] + offset,
                                   left < TRANSFER_PIECE_BYTES ? left : TRANSFER_PIECE_BYTES);
        }
        transfer_content_value(&content, made->images[i].content);
        transfer_content_release(&content);
    }
}

static void release(struct made *made)
{
    for (size_t i = 0; i < made->plan.image_count; i++) {
        unlink(made->images[i].path);
        free(made->images[i].path);
        free(made->expected[i]);
    }
    empty(at("leases"));
}

static int apply(const struct made *made, unsigned threads, struct transfer_apply_result *result,
                 struct error *err)
{
    const char *const directories[] = {at("images")};
    const struct transfer_apply_options options = {.incoming = at("images"),
                                                   .index = at("index"),
                                                   .leases = at("leases"),
                                                   .locks = at("locks"),
                                                   .directories = directories,
                                                   .directory_count = 1,
                                                   .threads = threads,
                                                   .lease_s = 60};

    return transfer_apply(&made->plan, &options, result, err);
}

static void expect_images(const struct made *made)
{
    for (size_t i = 0; i < made->plan.image_count; i++) {
        int fd = open(made->images[i].path, O_RDONLY | O_CLOEXEC);
        size_t size = made->images[i].virtual_size;
        uint8_t *bytes = malloc(size + 1);

        assert_true(fd >= 0);
        assert_int_equal(read(fd, bytes, size + 1), size);
        assert_memory_equal(bytes, made->expected[i], size);
        close(fd);
        free(bytes);
    }
}

static size_t count_entries(const char *directory)
{
    DIR *entries = opendir(directory);
    size_t count = 0;

    while (entries != NULL && readdir(entries) != NULL)
        count++;
    if (entries != NULL)
        closedir(entries);
    return count > 2 ? count - 2 : 0;
}

/* ---- tests ----------------------------------------------------------------------------- */

static void copies_near_and_far(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 1, 3 * MIB + 700);
    add(&made, 0, TRANSFER_COPY, 0, 1000, 0, 512); /* neighbours, and one not far behind */
    add(&made, 0, TRANSFER_COPY, 1000, 3000, 0, 1512);
    add(&made, 0, TRANSFER_COPY, 8192, 4096, 0, 20000);
    add(&made, 0, TRANSFER_COPY, 12288, 4096, 0, 3 * MIB);     /* far */
    add(&made, 0, TRANSFER_COPY, 16384, 4096, 0, 100);         /* before it */
    add(&made, 0, TRANSFER_COPY, 20480, 256 * 1024, 0, 24096); /* same distance, gap before it */
    add(&made, 0, TRANSFER_COPY, MIB - 100, 100, 0, 7);
    add(&made, 0, TRANSFER_COPY, MIB, 100, 0, 107);
    add(&made, 0, TRANSFER_COPY, 2 * MIB, 4096, 0, DONOR_BYTES - 500); /* over the donor's end */
    add(&made, 0, TRANSFER_COPY, 2 * MIB + 8192, 4096, 0, DONOR_BYTES + 5000);
    add(&made, 0, TRANSFER_COPY, 3 * MIB + 200, 500, 0, 9); /* up to the image's end */
    finish(&made);
    for (unsigned threads = 1; threads < 5; threads += 3) {
        assert_int_equal(apply(&made, threads, &result, &err), 0);
        expect_images(&made);
        assert_int_equal(result.made_count, 1);
        assert_int_equal(count_entries(at("leases")), 1);
        assert_int_equal(count_entries(at("locks")), 0);
        transfer_apply_result_release(&result);
        unlink(made.images[0].path);
    }
    release(&made);
}

static void replicates_over_borders(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 2, 4 * MIB);
    add(&made, 0, TRANSFER_COPY, MIB - 4096, 4096, 0, 0);
    add(&made, 0, TRANSFER_COPY, MIB, 8192, 0, 50000);
    add(&made, 0, TRANSFER_REPLICATE, MIB + 8192, 8192, 0, MIB);          /* of the same piece */
    add(&made, 0, TRANSFER_REPLICATE, MIB + 16384, 16384, 0, MIB - 4096); /* of two */
    add(&made, 0, TRANSFER_REPLICATE, 2 * MIB, 512 * 1024, 0, MIB - 256 * 1024);
    add(&made, 0, TRANSFER_ZERO, 3 * MIB, 4096, 0, 0);
    add(&made, 0, TRANSFER_REPLICATE, 3 * MIB + 4096, MIB - 4096, 0, 100); /* of a hole, mostly */
    add(&made, 1, TRANSFER_REPLICATE, 0, MIB, 0, MIB / 2 + 1);
    add(&made, 1, TRANSFER_REPLICATE, MIB, MIB, 0, 3 * MIB);
    add(&made, 1, TRANSFER_REPLICATE, 3 * MIB, 4096, 1, 3 * MIB - 4096); /* of a hole */
    finish(&made);
    for (unsigned threads = 1; threads < 10; threads += 4) {
        assert_int_equal(apply(&made, threads, &result, &err), 0);
        expect_images(&made);
        assert_int_equal(result.made_count, 2);
        transfer_apply_result_release(&result);
        unlink(made.images[0].path);
        unlink(made.images[1].path);
    }
    release(&made);
}

/* All extents hold, but together they are not what the plan says: a replicate of the wrong place. */
static void content_has_the_last_word(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 2, 2 * MIB);
    for (size_t image = 0; image < 2; image++) {
        add(&made, image, TRANSFER_COPY, 0, 8192, 0, 0);
        add(&made, image, TRANSFER_REPLICATE, MIB, 4096, (uint32_t)image, 0);
    }
    finish(&made);
    made.extents[1][1].from = 512;
    assert_int_equal(apply(&made, 2, &result, &err), -ESTALE);
    assert_non_null(strstr(err.text, made.images[1].path));
    assert_int_equal(result.failed.count, 1);
    assert_int_equal(result.failed.extents[0].image, 1);
    assert_int_equal(result.failed.extents[0].extent, 1);
    assert_int_equal(result.failed.part_count, 0);
    assert_int_equal(result.made_count, 0);
    assert_int_equal(count_entries(at("images")), 0);
    assert_int_equal(count_entries(at("leases")), 0);
    transfer_apply_result_release(&result);
    release(&made);
}

/* What was replicated from an image that is wrong is right only as long as that is. */
static void replicas_of_what_is_wrong_are_in_doubt(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 2, 2 * MIB);
    add(&made, 0, TRANSFER_COPY, 0, 8192, 0, 0);
    add(&made, 0, TRANSFER_REPLICATE, MIB, 4096, 0, 0);
    add(&made, 1, TRANSFER_COPY, 0, 4096, 0, 0);
    add(&made, 1, TRANSFER_REPLICATE, 4096, 4096, 1, 0);
    add(&made, 1, TRANSFER_REPLICATE, MIB, 4096, 0, MIB);
    finish(&made);
    made.images[0].content[5] ^= 1;
    assert_int_equal(apply(&made, 2, &result, &err), -ESTALE);
    assert_int_equal(result.failed.count, 2);
    assert_int_equal(result.failed.extents[0].image, 0);
    assert_int_equal(result.failed.extents[0].extent, 1);
    assert_int_equal(result.failed.extents[1].image, 1);
    assert_int_equal(result.failed.extents[1].extent, 2);
    transfer_apply_result_release(&result);
    release(&made);
}

static void nothing_is_in_doubt_where_all_has_a_hash(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 1, MIB);
    add(&made, 0, TRANSFER_COPY, 0, 8192, 0, 0);
    add(&made, 0, TRANSFER_ZERO, 8192, 4096, 0, 0);
    finish(&made);
    made.images[0].content[31] ^= 1;
    assert_int_equal(apply(&made, 2, &result, &err), -EBADMSG);
    assert_int_equal(result.failed.count, 0);
    assert_int_equal(count_entries(at("images")), 0);
    transfer_apply_result_release(&result);
    release(&made);
}

/* A lease outlives the image, in a power failure too. */
static void leases_go_behind_their_images(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 2, MIB);
    add(&made, 0, TRANSFER_COPY, 0, 8192, 0, 0);
    add(&made, 1, TRANSFER_COPY, 0, 8192, 0, 0);
    finish(&made);
    for (int fails = 0; fails < 2; fails++) {
        memset(&names, 0, sizeof(names));
        names.refuse_two = true;
        names.refuse_sync = fails != 0;
        assert_int_equal(apply(&made, 2, &result, &err), -ENOSPC);
        assert_string_equal(names.done, fails ? "IDD" : "IDLDL");
        assert_int_equal(count_entries(at("images")), 0);
        assert_int_equal(count_entries(at("leases")), fails ? 2 : 0);
        transfer_apply_result_release(&result);
    }
    memset(&names, 0, sizeof(names));
    release(&made);
}

/* What could replicate a failed extent is no failure, and copies behind it are still looked at. */
static void only_what_fails_is_listed(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 2, 3 * MIB);
    add(&made, 0, TRANSFER_COPY, 0, 4096, 0, 0);
    add(&made, 0, TRANSFER_COPY, 4096, 4096, 0, 4096);
    add(&made, 0, TRANSFER_REPLICATE, 8192, 4096, 0, 4096);
    add(&made, 0, TRANSFER_REPLICATE, MIB, 4096, 0, 4096);
    add(&made, 0, TRANSFER_COPY, MIB + 4096, 4096, 0, 8192);
    add(&made, 1, TRANSFER_REPLICATE, 0, 4096, 0, 4096);
    add(&made, 1, TRANSFER_COPY, 2 * MIB, 4096, 0, 12288);
    finish(&made);
    made.hashes[1][31] ^= 1;
    made.hashes[3][0] ^= 128;
    for (unsigned threads = 1; threads < 5; threads += 3) {
        assert_int_equal(apply(&made, threads, &result, &err), -ESTALE);
        assert_int_equal(result.failed.count, 2);
        assert_int_equal(result.failed.extents[0].image, 0);
        assert_int_equal(result.failed.extents[0].extent, 1);
        assert_int_equal(result.failed.extents[1].image, 1);
        assert_int_equal(result.failed.extents[1].extent, 1);
        assert_int_equal(result.failed.part_count, 0);
        assert_int_equal(count_entries(at("images")), 0);
        transfer_apply_result_release(&result);
    }
    release(&made);
}

static void donors_of_the_index_only(void **state)
{
    static const char *const ids[] = {"../../../../../../../etc/passwd", "", ".", "0000",
                                      "00000000000000000000000000000000"};
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 1, MIB);
    add(&made, 0, TRANSFER_COPY, 0, 4096, 0, 0);
    finish(&made);
    for (size_t i = 0; i < ARRAY_LENGTH(ids); i++) {
        string_copy(made.donor.id, sizeof(made.donor.id), ids[i]);
        assert_int_equal(apply(&made, 1, &result, &err), -ESTALE);
        assert_int_equal(result.failed.count, 1);
        transfer_apply_result_release(&result);
    }
    release(&made);
}

static void nothing_to_build(void **state)
{
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 2, MIB + 5);
    add(&made, 1, TRANSFER_ZERO, MIB, 5, 0, 0);
    finish(&made);
    assert_int_equal(apply(&made, 0, &result, &err), 0);
    expect_images(&made);
    transfer_apply_result_release(&result);
    /* They are there now. */
    assert_int_equal(apply(&made, 0, &result, &err), -EEXIST);
    transfer_apply_result_release(&result);
    made.images[0].may_exist = made.images[1].may_exist = true;
    assert_int_equal(apply(&made, 0, &result, &err), 0);
    assert_int_equal(result.made_count, 0);
    transfer_apply_result_release(&result);
    release(&made);
}

/* Each would do by itself. */
static void memory_of_all_images(void **state)
{
    uint64_t pieces = transfer_apply_memory() / TRANSFER_HASH_BYTES;
    struct transfer_apply_result result;
    struct error err = {""};
    struct made made;

    (void)state;
    make(&made, 2, MIB);
    finish(&made);
    made.images[0].virtual_size = made.images[1].virtual_size = pieces / 5 * 3 * MIB;
    assert_int_equal(apply(&made, 1, &result, &err), -ENOMEM);
    assert_non_null(strstr(err.text, made.images[1].path));
    assert_non_null(strstr(err.text, "more than a quarter of this host's memory"));
    transfer_apply_result_release(&result);
    release(&made);
}

/* ---- images that are there, and what others do to them meanwhile ------------------------- */

#define SHARED_BYTES (48 * MIB)

struct meddler {
    const char *path;
    void (*meddle)(const char *path);
    atomic_bool ended;
    pthread_t thread;
};

/* Who compares it has it open twice: to hold it, and to read it. */
static bool is_opened(const char *path)
{
    struct stat wanted, status;
    unsigned count = 0;

    if (stat(path, &wanted) < 0)
        return false;
    for (int fd = 3; fd < 64; fd++)
        count += fstat(fd, &status) == 0 && status.st_ino == wanted.st_ino;
    return count > 1;
}

static void *run_meddler(void *argument)
{
    struct meddler *meddler = argument;

    while (!atomic_load(&meddler->ended)) {
        if (is_opened(meddler->path))
            meddler->meddle(meddler->path);
    }
    return NULL;
}

static void give_away(const char *path)
{
    chmod(path, 0640);
    chmod(path, 0600);
}

static void cut_short(const char *path)
{
    assert_int_equal(truncate(path, 3 * 4096), 0);
}

/* An image that is there and has the content, while somebody does that to it. */
static int apply_meddled(void (*meddle)(const char *path), struct error *err)
{
    struct meddler meddler = {.meddle = meddle};
    struct transfer_apply_result result;
    struct made made;
    size_t listed;
    int fd, rc;

    make(&made, 1, SHARED_BYTES);
    memset(made.expected[0], 0x5a, SHARED_BYTES);
    finish(&made);
    made.images[0].may_exist = true;
    fd = open(made.images[0].path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, made.expected[0], SHARED_BYTES), SHARED_BYTES);
    close(fd);
    meddler.path = made.images[0].path;
    assert_int_equal(pthread_create(&meddler.thread, NULL, run_meddler, &meddler), 0);
    rc = apply(&made, 1, &result, err);
    atomic_store(&meddler.ended, true);
    pthread_join(meddler.thread, NULL);
    assert_int_equal(result.made_count, 0);
    listed = result.failed.count + result.failed.part_count;
    assert_int_equal(listed, 0);
    if (rc < 0)
        assert_non_null(strstr(err->text, made.images[0].path));
    transfer_apply_result_release(&result);
    release(&made);
    return rc;
}

/* libvirt does so when it starts another VM that lies on it. */
static void an_image_that_is_given_away(void **state)
{
    struct error err = {""};

    (void)state;
    assert_int_equal(apply_meddled(give_away, &err), 0);
}

/* What is cut short is nothing that the source could send. */
static void an_image_that_is_cut_short(void **state)
{
    struct error err = {""};

    (void)state;
    assert_int_equal(apply_meddled(cut_short, &err), -EEXIST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_near_and_far),
        cmocka_unit_test(replicates_over_borders),
        cmocka_unit_test(content_has_the_last_word),
        cmocka_unit_test(only_what_fails_is_listed),
        cmocka_unit_test(donors_of_the_index_only),
        cmocka_unit_test(nothing_to_build),
        cmocka_unit_test(memory_of_all_images),
        cmocka_unit_test(an_image_that_is_given_away),
        cmocka_unit_test(an_image_that_is_cut_short),
        cmocka_unit_test(leases_go_behind_their_images),
        cmocka_unit_test(replicas_of_what_is_wrong_are_in_doubt),
        cmocka_unit_test(nothing_is_in_doubt_where_all_has_a_hash),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
