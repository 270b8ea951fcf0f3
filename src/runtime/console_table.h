/*
 * console_table: the protected descriptors of an application, in memory that its processes share, as net_table is for connections: keys and record numbers,
 * so that whichever process has a descriptor can go on with its stream; what is to be known over execve; and which processes hold which, so that the
 * last one to let go of an output marks its end.
 */
#ifndef SCONE_RUNTIME_CONSOLE_TABLE_H
#define SCONE_RUNTIME_CONSOLE_TABLE_H

#include "runtime/net_table.h"
#include "shield/console/rules.h"

#define CONSOLE_HOLDERS 4096
#define CONSOLE_REFUSED UINT32_MAX /* instead of a channel's number: a descriptor that may not be used */

enum console_state { CONSOLE_OPEN, CONSOLE_ENDED, CONSOLE_FAILED };

struct console_channel {
	bool used, in, out;
	bool lines; /* the output is a terminal */
	bool packets; /* the kernel has the relay's socket there, a frame each: input, or both directions */
	bool file; /* always ready */
	bool socket; /* the program was given a socket: send and recv are for it */
	uint64_t dev, ino; /* of what the kernel has there */
	char name[CONSOLE_NAME_MAX + 1];
	uint8_t hello[CONSOLE_HELLO_MAX]; /* of the output */
	uint32_t hello_len;

	struct net_lock tx; /* the output, as far as it is below */
	uint32_t tx_state; /* enum console_state */
	bool tx_midway; /* a record is being written: whether it went is not known when its writer dies */
	bool tx_doubt; /* it died: `again` is owed */
	uint64_t midway_seq; /* that record: its number, type and content */
	uint32_t midway_len;
	uint8_t midway[CONSOLE_RECORD_PLAIN];
	struct console_half tx_half;
	uint32_t rest_at, rest_len; /* what the kernel did not take of a frame that is begun */
	uint8_t rest[CONSOLE_LINE_MAX];

	struct net_lock rx;
	uint32_t rx_state;
	bool rx_begun; /* the hello is read */
	bool rx_midway; /* a record is being taken out of the queue */
	bool rx_doubt; /* whoever did died: it may be there or not */
	uint64_t rx_midway_seq; /* its number */
	struct console_half rx_half;
	uint32_t plain_at, plain_len; /* of the first record of the queue, opened; 0, 0: it is not */
	uint8_t plain[CONSOLE_RECORD_PLAIN];
};

struct console_holder {
	uint32_t pid; /* 0: free */
	uint32_t channels; /* bits */
};

struct console_table {
	uint64_t magic;
	bool attach;
	uint8_t fifos, terminals; /* enum console_action */
	uint32_t log; /* channel that lines of the runtime's log go to; CONSOLE_REFUSED: none */
	uint64_t pipe_dev; /* where pipes without a name are */
	uint8_t key[CONSOLE_KEY_LEN]; /* for inputs whose hello is not read yet */
	uint8_t run[CONSOLE_ID_LEN];
	char context[CONSOLE_CONTEXT_MAX + 1];
	struct console_channel channel[CONSOLE_PROTECTED_MAX];
	struct console_holder holder[CONSOLE_HOLDERS];
};

/* Map a new table. -errno. */
MUST_USE int console_table_create(void);
/* As those of net_table. */
MUST_USE int console_table_attach(int fd);
int console_table_fd(void);
void console_table_keep(bool over_exec);

struct console_table *console_table(void); /* NULL: there is none */
struct console_channel *console_channel(uint32_t number); /* NULL: no such */
/* The channel of what the kernel has there; -ENOENT. */
long console_find(uint64_t dev, uint64_t ino);

/* Wipe the key if no input needs it any more. */
void console_forget_key(void);

/* Process pid holds these channels, and no others. */
void console_hold_all(uint32_t pid, uint32_t channels);
void console_hold(uint32_t pid, uint32_t number);
/* pid holds it no longer. True: nobody does. */
bool console_unhold(uint32_t pid, uint32_t number);

#endif
