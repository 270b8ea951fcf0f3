/* sealed_build: making the manifest of a sealed tree; see sealed_tree.h. */
#include <stdlib.h>
#include <string.h>
#include "shield/fs/sealed_tree_format.h"

/* Names, targets and digests are kept in the encoded entries; offsets, since the buffer moves as it grows. */
struct kept {
	struct sealed_entry e;
	size_t name, content; /* in bytes */
};

struct sealed_build {
	struct kept *entries;
	uint32_t count, cap;
	uint32_t next; /* id of the next directory's first child: what the directories so far ask for */
	uint32_t directory; /* whose children are being added */
	uint32_t left; /* children it still lacks */
	uint64_t bytes_left; /* of the last file */
	struct buf encoded;
};

int sealed_build_new(struct sealed_build **ret, struct error *err)
{
	struct sealed_build *b = calloc(1, sizeof(*b));

	if (!b)
		return error_set(err, ERR_NOMEM, "no memory");
	buf_init(&b->encoded, SEALED_MANIFEST_MAX);
	*ret = b;
	return 0;
}

void sealed_build_free(struct sealed_build *b)
{
	if (!b)
		return;
	free(b->entries);
	buf_free(&b->encoded);
	free(b);
}

uint32_t sealed_build_count(const struct sealed_build *b)
{
	return b->count;
}

static int grow(struct sealed_build *b, struct error *err)
{
	uint32_t cap = b->cap ? b->cap * 2 : 256;
	struct kept *grown;

	if (b->count < b->cap)
		return 0;
	if (b->count >= SEALED_ENTRIES_MAX)
		return error_set(err, ERR_LIMIT, "a sealed tree has at most %u entries", SEALED_ENTRIES_MAX);
	grown = realloc(b->entries, cap * sizeof(*grown));
	if (!grown)
		return error_set(err, ERR_NOMEM, "no memory for %u entries", cap);
	b->entries = grown;
	b->cap = cap;
	return 0;
}

/* The directory that the next entry is in: the first one with children left. */
static int find_directory(struct sealed_build *b, struct error *err)
{
	while (b->left == 0) {
		uint32_t d = b->count == 1 ? 0 : b->directory + 1;

		while (d < b->count &&
			(b->entries[d].e.type != SEALED_DIRECTORY || b->entries[d].e.count == 0))
			d++;
		if (d >= b->count)
			return error_set(
				err, ERR_INPUT, "sealed tree: entry %u is in no directory", b->count);
		b->directory = d;
		b->left = b->entries[d].e.count;
	}
	return 0;
}

static int check_place(struct sealed_build *b, const struct sealed_entry *e, struct error *err)
{
	const struct kept *before;
	struct sealed_entry last;

	if (b->bytes_left)
		return error_set(err, ERR_INPUT,
			"sealed tree: entry %u comes before all content of the file before it", b->count);
	if (b->count == 0)
		return e->type == SEALED_DIRECTORY && e->name_len == 0
			       ? 0
			       : error_set(err, ERR_INPUT,
					 "sealed tree: the first entry is a directory without name");
	if (!sealed_name_ok(e->name, e->name_len))
		return error_set(err, ERR_INPUT, "sealed tree: '%.*s' is no name", (int)e->name_len, e->name);
	if (find_directory(b, err))
		return -1;
	if (b->left == b->entries[b->directory].e.count)
		return 0;
	before = &b->entries[b->count - 1];
	last = before->e;
	last.name = (const char *)b->encoded.data + before->name;
	return sealed_name_cmp(&last, e->name, e->name_len) < 0
		       ? 0
		       : error_set(err, ERR_INPUT, "sealed tree: '%.*s' is not behind '%.*s'",
				 (int)e->name_len, e->name, (int)last.name_len, last.name);
}

static void encode(struct buf *out, const struct sealed_entry *e, size_t *ret_name, size_t *ret_content)
{
	buf_put_u8(out, (uint8_t)e->type);
	buf_put_u32be(out, e->mode);
	buf_put_u32be(out, e->uid);
	buf_put_u32be(out, e->gid);
	buf_put_u64be(out, (uint64_t)e->mtime);
	buf_put_u16be(out, e->name_len);
	*ret_name = out->len;
	buf_put(out, e->name, e->name_len);
	if (e->type == SEALED_DIRECTORY)
		buf_put_u32be(out, e->count);
	else if (e->type == SEALED_FILE)
		buf_put_u64be(out, e->size);
	else
		buf_put_u16be(out, (uint16_t)e->size);
	*ret_content = out->len;
	if (e->type == SEALED_SYMLINK)
		buf_put(out, e->target, (size_t)e->size);
}

int sealed_build_add(struct sealed_build *b, const struct sealed_entry *e, struct error *err)
{
	struct kept *k;

	if (e->mode > 07777 || (e->type == SEALED_SYMLINK && (e->size == 0 || e->size > SEALED_TARGET_MAX)))
		return error_set(err, ERR_INPUT, "sealed tree: '%.*s' has mode %o and size %llu",
			(int)e->name_len, e->name, e->mode, (unsigned long long)e->size);
	if (check_place(b, e, err) || grow(b, err))
		return -1;
	k = &b->entries[b->count];
	*k = (struct kept){.e = *e};
	encode(&b->encoded, e, &k->name, &k->content);
	if (b->encoded.failed)
		return error_set(err, ERR_LIMIT,
			"sealed tree: its manifest is over %zu bytes, or there is no memory for it",
			SEALED_MANIFEST_MAX);
	if (e->type == SEALED_DIRECTORY) {
		k->e.first = b->count == 0 ? 1 : b->next;
		b->next = k->e.first + e->count;
	}
	if (b->count > 0)
		b->left--;
	b->bytes_left = e->type == SEALED_FILE ? e->size : 0;
	b->count++;
	return 0;
}

int sealed_build_leaf(struct sealed_build *b, const void *p, size_t n, struct error *err)
{
	size_t want = b->bytes_left < SEALED_LEAF ? (size_t)b->bytes_left : SEALED_LEAF;
	uint8_t digest[SHA256_LEN];

	if (n == 0 || n != want)
		return error_set(err, ERR_INPUT, "sealed tree: %zu bytes of content, wanted %zu", n, want);
	sealed_leaf_digest(p, n, digest);
	buf_put(&b->encoded, digest, sizeof(digest));
	if (b->encoded.failed)
		return error_set(err, ERR_LIMIT,
			"sealed tree: its manifest is over %zu bytes, or there is no memory for it",
			SEALED_MANIFEST_MAX);
	b->bytes_left -= n;
	return 0;
}

/* Entries as the reader has them: pointers instead of offsets. */
static struct sealed_entry *finished(const struct sealed_build *b, struct error *err)
{
	struct sealed_entry *e = malloc(b->count * sizeof(*e));

	if (!e) {
		error_set(err, ERR_NOMEM, "no memory for %u entries", b->count);
		return NULL;
	}
	for (uint32_t i = 0; i < b->count; i++) {
		const struct kept *k = &b->entries[i];

		e[i] = k->e;
		e[i].name = (const char *)b->encoded.data + k->name;
		e[i].target = (const char *)b->encoded.data + k->content;
		e[i].leaves = b->encoded.data + k->content;
	}
	return e;
}

static int write_manifest(const struct sealed_build *b, const uint8_t root[SHA256_LEN], EVP_PKEY *key,
	struct buf *out, struct error *err)
{
	struct buf text, spki, signature;
	int rc = -1;

	buf_init(&text, 256);
	buf_init(&spki, SEALED_KEY_MAX);
	buf_init(&signature, SEALED_SIGNATURE_MAX);
	sealed_signed_text(root, &text);
	if (key_spki_der(key, &spki, err) || key_sign(key, text.data, text.len, &signature, err))
		goto done;
	buf_put(out, SEALED_MAGIC, sizeof(SEALED_MAGIC) - 1);
	buf_put_u32be(out, SEALED_LEAF);
	buf_put_u64be(out, b->count);
	buf_put_u64be(out, b->encoded.len);
	buf_put(out, root, SHA256_LEN);
	buf_put_block(out, spki.data, spki.len);
	buf_put_block(out, signature.data, signature.len);
	buf_put(out, b->encoded.data, b->encoded.len);
	rc = out->failed ? error_set(err, ERR_NOMEM, "no room for a manifest of %zu bytes", b->encoded.len)
			 : 0;
done:
	buf_free(&text);
	buf_free(&spki);
	buf_free(&signature);
	return rc;
}

int sealed_build_sign(struct sealed_build *b, EVP_PKEY *key, struct buf *out, uint8_t ret_root[SHA256_LEN],
	struct error *err)
{
	struct sealed_entry *entries;
	uint8_t root[SHA256_LEN];
	int rc;

	if (b->count == 0 || b->bytes_left || b->next != b->count)
		return error_set(err, ERR_INPUT, "sealed tree: %u entries, wanted %u", b->count, b->next);
	entries = finished(b, err);
	if (!entries)
		return -1;
	rc = sealed_entries_root(entries, b->count, root, err);
	free(entries);
	if (rc || write_manifest(b, root, key, out, err))
		return -1;
	if (ret_root)
		memcpy(ret_root, root, SHA256_LEN);
	return 0;
}
