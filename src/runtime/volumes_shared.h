/*
 * volumes_shared: what the files of volumes.h have in common: the start of the arena, and what this process knows of it. Nobody else includes
 * it.
 */
#ifndef SCONE_RUNTIME_VOLUMES_SHARED_H
#define SCONE_RUNTIME_VOLUMES_SHARED_H

#include "host/arena.h"
#include "host/volume_file.h"
#include "runtime/volume_lease.h"
#include "runtime/volume_meet.h"
#include "runtime/volumes.h"

#define VOLUMES_ALIGN(n) (((n) + 4095) & ~(size_t)4095)

/* One mount, in the arena. */
struct volumes_mount {
	uint64_t arena_off, arena_len;
	uint64_t host_dev, host_ino; /* of the directory that it hides; 0, 0: there is none */
	bool sealed; /* a sealed tree: key, descriptor and lease are not used, file.path is its directory */
	uint8_t key[VOLUME_KEY_LEN];
	struct volume_file file; /* its descriptor has the same number in all processes */
	struct lease_post lease;
};

/* The start of the caller's part of the arena. */
struct volumes_shared {
	uint32_t closed; /* futex: 1 when the keeper has closed the volumes */
	int32_t close_error; /* what that answered */
	uint32_t mounts, keeper;
	int32_t pages_fd, placeholder_fd, cwd_fd;
	int32_t content_fd, content_ro_fd; /* of sealed trees; 0: there are none */
	uint64_t placeholder_dev, placeholder_ino;
	uint64_t own_ino[3]; /* of the arena, the pages, the content of sealed trees */
	uint64_t next_token; /* of a descriptor in a message */
	char meet[MEET_DIR_MAX];
	struct lease_bell bell;
	struct volumes_mount mount[VFS_MOUNTS];
};

extern struct arena volumes_arena;
/* In the first process until there is a keeper, and in that. */
extern struct volume_client *volumes_clients[VFS_MOUNTS];
/* Of this image; what a thread of the program is in is asked from the thread itself. */
extern struct process *volumes_first;

static inline struct volumes_shared *volumes_shared(void)
{
	return (struct volumes_shared *)(volumes_arena.base + ARENA_HEAD);
}

/* Where the vfs has its own, behind that. */
static inline uint8_t *volumes_region(void)
{
	return volumes_arena.base + VOLUMES_ALIGN(ARENA_HEAD + sizeof(struct volumes_shared));
}

/* The slot of the process that calls. */
uint32_t volumes_own_slot(void);
/* What the program may not map over or unmap. */
void volumes_own_arena(void);
/* The hidden descriptors, in the table of descriptors. */
void volumes_hide(struct process *p);

/* volumes_user.c: struct process.volumes, made from what the kernel says of the process; 0 or -errno. */
MUST_USE int volumes_user_new(struct process *p);

/* volumes_env.c: callbacks of the vfs, and of one volume whose ciphertext is f, that of a mount in the arena. f outlives it. */
extern const struct vfs_env volumes_vfs_env;
struct volume_env volumes_file_env(struct volume_file *f);

/* volumes_sealed.c: a sealed tree that is to be mounted, from the host, to be believed only if its manifest has this root, or is signed by this key. */
struct sealed_mount {
	char manifest_path[VOLUME_FILE_PATH_MAX];
	bool has_root, has_signer;
	uint8_t root[SHA256_LEN], signer[KEY_HASH_LEN];
	uint8_t *manifest; /* owned, with tree */
	size_t manifest_len;
	struct sealed_tree *tree;
};
/* Read the manifest and open the tree. */
MUST_USE int sealed_mount_probe(struct sealed_mount *m, struct error *err);
void sealed_mount_clear(struct sealed_mount *m);
/* The content object of all trees, len bytes; 0 or -errno. */
MUST_USE int sealed_content_make(uint64_t len);
/* Callbacks of a tree; m is in the arena. */
struct sealed_fs_env sealed_mount_env(struct volumes_mount *m);

/* volumes_open.c: the mounts that another process has made; 0 or -errno. */
MUST_USE int volumes_attach(struct vfs *fs);

#endif
