/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading without pushing others' data out of the page cache: which pages of
 * a file were there before is looked up ahead of the reading, and what the
 * reading brought in is dropped behind it.
 *
 * All functions accept NULL, the guard of a caller who does not care. Nothing
 * fails: where the kernel does not tell, nothing is dropped. Thread-safe but
 * for new and free.
 */
#ifndef SETMOV_IMAGE_CACHE_H
#define SETMOV_IMAGE_CACHE_H

#include "setmov/base.h"

struct cache_guard;

/* For a file that is read here. `fd` stays the caller's. NULL: out of memory. */
struct cache_guard *cache_guard_new(int fd, uint64_t size);

/*
 * For a file that another process reads anywhere in it on our behalf: looks
 * at all of the file now. What others bring in meanwhile is dropped as well.
 */
struct cache_guard *cache_guard_new_whole(int fd, uint64_t size);

/* Call before reading there; looks some way ahead, for the kernel's readahead. */
void cache_guard_before(struct cache_guard *guard, uint64_t offset, uint64_t length);

/* Call after each reading, with what `before` was told: drops every now and then. */
void cache_guard_after(struct cache_guard *guard, uint64_t offset, uint64_t length);

/*
 * Was a page of that range not there? False where nothing is known: of what `before` was not
 * told, where that is called.
 */
bool cache_guard_lacked(struct cache_guard *guard, uint64_t offset, uint64_t length);

/* Drops what is left to drop. */
void cache_guard_free(struct cache_guard *guard);

/* ---- those of an image's files, each as by cache_guard_new_whole (guards.c) ---------------- */

struct image_chain;

/* From now on, until they are freed. Out of memory: none. */
void cache_guards_begin(struct image_chain *chain);
/* So many bytes of the image were read, wherever they lie. */
void cache_guards_after(const struct image_chain *chain, uint64_t length);
void cache_guards_free(struct image_chain *chain);

#endif
