/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which disks a host has: XML of domains, volumes and pools, and libvirt's own test driver. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "setmov/vm_storage.h"
#include "vm/storage_list.h"
#include "vm/storage_xml.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct text text(const char *string)
{
    return text_of(string, strlen(string));
}

/* ---- XML -------------------------------------------------------------------------------- */

static void disks_of_a_domain(void **state)
{
    static const char xml[] =
        "<domain type='qemu'><name>x</name><devices>"
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        "<source file='/i/a.qcow2'/>"
        "<backingStore type='file'><format type='raw'/><source file='/i/base'/></backingStore>"
        "<mirror type='file'><source file='/i/mirror'/></mirror></disk>"
        "<disk type='block' device='lun'><driver name='qemu' type='raw'/>"
        "<source dev='/dev/vg/lv'/></disk>"
        "<disk type='file' device='cdrom'><source file='/i/d.iso'/></disk>"
        "<disk type='file' device='cdrom'><driver type=''/></disk>"
        "<disk type='file' device='floppy'><source startupPolicy='optional'/></disk>"
        "<disk type='file' device='floppy'><driver type='iso'/><source file='/i/floppy'/></disk>"
        "<disk type='network'><driver type='raw'/><source protocol='rbd' name='/p/i'/></disk>"
        "<disk type='dir'><source dir='/i'/></disk>"
        "<disk type='file'><source file='relative'/></disk>"
        "<disk><source file='/i/untyped'/></disk>"
        "<disk type='volume'><driver type='qcow2'/><source pool='p' volume='v'/></disk>"
        "<disk type='volume'><source pool='p'/></disk>"
        "<interface type='user'/></devices>"
        "<metadata><disk type='file'><source file='/i/elsewhere'/></disk></metadata></domain>";
    CLEANUP(storage_disks_release) struct storage_disks disks = {NULL, 0, 0};
    struct error err = {""};

    (void)state;
    assert_int_equal(storage_domain_parse(text(xml), &disks, &err), 0);
    assert_int_equal(disks.count, 5);
    assert_string_equal(disks.disks[0].path, "/i/a.qcow2");
    assert_string_equal(disks.disks[0].format, "qcow2");
    assert_string_equal(disks.disks[1].path, "/dev/vg/lv");
    assert_string_equal(disks.disks[1].format, "raw");
    assert_string_equal(disks.disks[2].path, "/i/d.iso");
    assert_string_equal(disks.disks[2].format, "raw");
    assert_string_equal(disks.disks[3].path, "/i/floppy");
    assert_string_equal(disks.disks[3].format, "raw");
    assert_string_equal(disks.disks[4].path, "");
    assert_string_equal(disks.disks[4].pool, "p");
    assert_string_equal(disks.disks[4].volume, "v");
    assert_string_equal(disks.disks[4].format, "qcow2");
}

static void volumes(void **state)
{
    static const struct {
        const char *xml;
        bool is_local;
        const char *path, *format;
    } cases[] = {
        {"<volume type='file'><target><path>/p/a</path><format type='qcow2'/></target></volume>",
         true, "/p/a", "qcow2"},
        {"<volume type='file'><target><path>/p/&lt;a&gt;</path><format type='iso'/></target>"
         "<backingStore><path>/p/base</path><format type='raw'/></backingStore></volume>",
         true, "/p/<a>", "raw"},
        {"<volume type='block'><target><path>/dev/sda1</path><format type='linux'/></target>"
         "</volume>",
         true, "/dev/sda1", ""},
        {"<volume type='file'><target><path>/p/a</path></target></volume>", true, "/p/a", ""},
        {"<volume type='network'><target><path>/p/a</path></target></volume>", false, "", ""},
        {"<volume type='dir'><target><path>/p/a</path><format type='dir'/></target></volume>",
         false, "", ""},
        {"<volume><target><path>/p/a</path></target></volume>", false, "", ""},
        {"<volume type='file'><target><path>p/a</path></target></volume>", false, "", ""},
        {"<volume type='file'/>", false, "", ""},
    };
    struct storage_volume volume;

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(storage_volume_parse(text(cases[i].xml), &volume, NULL), 0);
        assert_int_equal(volume.is_local, cases[i].is_local);
        assert_string_equal(volume.path, cases[i].path);
        assert_string_equal(volume.format, cases[i].format);
    }
}

static void pools(void **state)
{
    struct storage_pool pool;

    (void)state;
    assert_int_equal(
        storage_pool_parse(text("<pool type='dir'><target><path>/p</path></target></pool>"), &pool,
                           NULL),
        0);
    assert_false(pool.is_remote);
    assert_string_equal(pool.directory, "/p");
    assert_int_equal(
        storage_pool_parse(
            text("<pool type='logical'><target><path>/dev/vg</path></target></pool>"), &pool, NULL),
        0);
    assert_false(pool.is_remote);
    assert_string_equal(pool.directory, "");
    assert_int_equal(storage_pool_parse(text("<pool type='rbd'><source/></pool>"), &pool, NULL), 0);
    assert_true(pool.is_remote);
}

static void what_is_too_long_is_left_out(void **state)
{
    CLEANUP(storage_disks_release) struct storage_disks disks = {NULL, 0, 0};
    char path[STORAGE_PATH_BYTES + 1], xml[2 * STORAGE_PATH_BYTES];
    struct storage_volume volume;

    (void)state;
    for (size_t length = STORAGE_PATH_BYTES - 1; length <= STORAGE_PATH_BYTES; length++) {
        bool fits = length < STORAGE_PATH_BYTES;

        memset(path, '/', length);
        path[length] = '\0';
        string_format(xml, sizeof(xml),
                      "<domain><devices><disk type='file'><source file='%s'/></disk></devices>"
                      "</domain>",
                      path);
        disks.count = 0;
        assert_int_equal(storage_domain_parse(text(xml), &disks, NULL), 0);
        assert_int_equal(disks.count, fits);
        string_format(xml, sizeof(xml),
                      "<volume type='file'><target><path>%s</path></target></volume>", path);
        assert_int_equal(storage_volume_parse(text(xml), &volume, NULL), 0);
        assert_int_equal(volume.is_local, fits);
    }
}

static void what_is_no_such_xml_is_refused(void **state)
{
    static const char doctype[] = "<!DOCTYPE volume [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
                                  "<volume type='file'><target><path>&x;</path></target></volume>";
    const char *const texts[] = {
        "", "x", "<volume>", "<other/>", doctype,
    };
    CLEANUP(storage_disks_release) struct storage_disks disks = {NULL, 0, 0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        struct storage_volume volume;
        struct storage_pool pool;
        struct error err = {""};

        assert_int_equal(storage_volume_parse(text(texts[i]), &volume, &err), -EBADMSG);
        assert_true(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
        assert_int_equal(storage_pool_parse(text(texts[i]), &pool, &err), -EBADMSG);
        assert_int_equal(storage_domain_parse(text(texts[i]), &disks, &err), -EBADMSG);
        assert_int_equal(disks.count, 0);
    }
}

/* ---- the list ------------------------------------------------------------------------------- */

static void a_domain_knows_better_than_a_pool(void **state)
{
    CLEANUP(vm_storage_release) struct vm_storage storage = {0};

    (void)state;
    assert_int_equal(storage_list_add_disk(&storage, "/b", "qcow2", "pool", "a"), 0);
    assert_int_equal(storage_list_add_disk(&storage, "/c", "", "pool", "a"), 0);
    assert_int_equal(storage_list_add_disk(&storage, "/b", "raw", "domain", "z"), 0);
    assert_int_equal(storage_list_add_disk(&storage, "/a", NULL, "pool", "a"), 0);
    assert_int_equal(storage_list_add_disk(&storage, "/b", "qcow2", "pool", "b"), 0);
    storage_list_finish(&storage);
    assert_int_equal(storage.count, 3);
    assert_string_equal(storage.disks[0].path, "/a");
    assert_string_equal(storage.disks[1].path, "/b");
    assert_string_equal(storage.disks[1].format, "raw");
    assert_string_equal(storage.disks[1].owner, "domain z");
    assert_string_equal(storage.disks[2].owner, "pool a");
    assert_null(storage.disks[2].format);
}

/* ---- libvirt ---------------------------------------------------------------------------------- */

static char directory[] = "/tmp/setmov-storage-XXXXXX";

static void write_node(const char *path)
{
    static const char node[] =
        "<node><domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
        "<test:runstate>5</test:runstate>"
        "<name>off</name><memory>1024</memory><os><type>hvm</type></os><devices>"
        "<disk type='file'><driver type='qcow2'/><source file='/nowhere/off'/>"
        "<target dev='vda'/></disk></devices></domain>"
        "<domain type='test'><name>on</name><memory>1024</memory><os><type>hvm</type></os><devices>"
        "<disk type='file'><driver type='raw'/><source file='/nowhere/pool/vol'/>"
        "<target dev='vda'/></disk>"
        "<disk type='volume'><driver type='raw'/><source pool='p' volume='named'/>"
        "<target dev='vdb'/></disk>"
        "<disk type='volume'><driver type='raw'/><source pool='p' volume='missing'/>"
        "<target dev='vdc'/></disk></devices></domain>"
        "<pool type='dir'><name>p</name><target><path>/nowhere/pool</path></target>"
        "<volume><name>vol</name><capacity>1000</capacity>"
        "<target><format type='qcow2'/></target></volume>"
        "<volume><name>named</name><capacity>1000</capacity>"
        "<target><format type='qcow2'/></target></volume>"
        "<volume><name>alone</name><capacity>1000</capacity>"
        "<target><format type='qcow2'/></target></volume></pool></node>";
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(node, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void libvirts_pools_and_domains(void **state)
{
    static const struct vm_image expected[] = {
        {(char *)"/nowhere/off", (char *)"qcow2", (char *)"domain off"},
        {(char *)"/nowhere/pool/alone", (char *)"qcow2", (char *)"pool p"},
        {(char *)"/nowhere/pool/named", (char *)"raw", (char *)"domain on"},
        {(char *)"/nowhere/pool/vol", (char *)"raw", (char *)"domain on"},
    };
    CLEANUP(vm_storage_release) struct vm_storage storage = {0};
    char path[64], uri[96];
    struct error err = {""};

    (void)state;
    string_format(path, sizeof(path), "%s/node.xml", directory);
    string_format(uri, sizeof(uri), "test://%s", path);
    write_node(path);
    if (vm_storage_list(uri, 60, &storage, &err) < 0)
        fail_msg("%s", err.text);
    unlink(path);
    for (size_t i = 0; i < storage.problem_count; i++)
        print_message("%s\n", storage.problems[i]);
    assert_int_equal(storage.problem_count, 0);
    assert_int_equal(storage.count, ARRAY_LENGTH(expected));
    for (size_t i = 0; i < storage.count; i++) {
        assert_string_equal(storage.disks[i].path, expected[i].path);
        assert_string_equal(storage.disks[i].format, expected[i].format);
        assert_string_equal(storage.disks[i].owner, expected[i].owner);
    }
    assert_int_equal(storage.directory_count, 1);
    assert_string_equal(storage.directories[0], "/nowhere/pool");
}

static void a_server_that_is_not_there_is_an_error(void **state)
{
    struct vm_storage storage = {0};
    struct error err = {""};

    (void)state;
    assert_int_equal(vm_storage_list("test:///no/such/node.xml", 60, &storage, &err), -EIO);
    assert_true(err.text[0] != '\0' && strchr(err.text, '\n') == NULL);
    assert_int_equal(storage.count, 0);
}

/* It takes the connection and never says a word. */
static void a_server_that_hangs_is_left(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct vm_storage storage = {0};
    struct error err = {""};
    char uri[192];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    string_format(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 5), 0);
    string_format(uri, sizeof(uri), "qemu+unix:///system?socket=%s", address.sun_path);
    assert_int_equal(vm_storage_list(uri, 0.2, &storage, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, uri));
    unlink(address.sun_path);
    close(fd);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks_of_a_domain),
        cmocka_unit_test(volumes),
        cmocka_unit_test(pools),
        cmocka_unit_test(what_is_too_long_is_left_out),
        cmocka_unit_test(what_is_no_such_xml_is_refused),
        cmocka_unit_test(a_domain_knows_better_than_a_pool),
        cmocka_unit_test(libvirts_pools_and_domains),
        cmocka_unit_test(a_server_that_is_not_there_is_an_error),
        cmocka_unit_test(a_server_that_hangs_is_left),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
