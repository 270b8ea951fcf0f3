/*
 * volume_meet: where the processes of an application meet at what is but a name in a volume: FIFOs and bound sockets.
 *
 * What the kernel needs for them lies in a directory of the host, in /dev/shm or else /tmp, made when it is first needed. The outer part of
 * its name everybody can see; the inner part, 128 random bits, nobody can who is not told, and who knows it may do everything in there:
 * the rights are those of the volume's inodes, looked at before. An entry is named by the numbers of its inode, never by its name in the volume.
 * The last of the application removes all of it; if everything is killed at once, the keeper included, empty entries stay.
 *
 * Nothing here is called in vfs.
 */
#ifndef SCONE_RUNTIME_VOLUME_MEET_H
#define SCONE_RUNTIME_VOLUME_MEET_H

#include "core/error.h"
#include "shield/fs/vfs.h"

#define MEET_DIR_MAX 80 /* "/dev/shm/scone-" and 16 digits, "/" and 32 */
#define MEET_NAME_MAX 44 /* three numbers in hexadecimal */
#define MEET_PATH_MAX (MEET_DIR_MAX + MEET_NAME_MAX)

/* A name for the directory, which is not made yet. -1 with err. */
MUST_USE int meet_choose(char ret[MEET_DIR_MAX], struct error *err);
/* The directory as a descriptor (O_PATH), of the caller. make: it is made if it is not there. -errno; -ENOENT: nobody has made it. */
MUST_USE int meet_open(bool make);
/* Name of a node's entry, with its directory, and without. */
void meet_path(const struct vfs_node *n, char ret[MEET_PATH_MAX]);
void meet_name(const struct vfs_node *n, char ret[MEET_NAME_MAX]);
/* The entry as a socket's address has it, by a descriptor of the directory; room for 80 bytes. */
void meet_address(int dir, const struct vfs_node *n, char *ret, size_t room);
/* The other way. false: text of n bytes is no such name. */
bool meet_node(const char *text, size_t n, struct vfs_node *ret);
/* There is a FIFO for the node from now on. */
MUST_USE int meet_fifo(const struct vfs_node *n);
/* The node is gone. */
void meet_forget(const struct vfs_node *n);
/* The application is over. */
void meet_remove(void);

#endif
