/*
 * hw_standin OPTIONS DIR -- PROGRAM …: runs a program on a machine that seems to be a confidential guest. The kernel hands it the program's calls on
 * their interfaces (seccomp user notification), and it answers as the kernel does; the program needs nothing of it and cannot tell.
 *
 *	DIR/report: the configfs-tsm report directory (Documentation/ABI/testing/configfs-tsm-report). mkdir there makes a report with its files at once;
 *	each write counts `generation`; reading outblob signs what inblob holds; rmdir removes it.
 *	/dev/nsm: the Nitro security module's one ioctl.
 *	/dev/sev-guest: reports, extended ones, and keys derived from the secret in DIR/chip, which is made if it is absent (linux/sev-guest.h; AMD 56860, MSG_KEY_REQ).
 *
 * Who signs are roots of its own: DIR/root.hex has the root's key hash, DIR/root.pem its certificate, DIR/collateral what the maker would publish, DIR/now the
 * time for which all is good. DIR/guest, where it is, says what is wrong with the guest from now on, in words: debug, launch (measured another start), vmpl,
 * outdated (TCB), putback (firmware behind the committed TCB of before), plain (no extended reports).
 *
 *	--snp | --snp-vlek | --tdx | --nitro	which hardware
 *	--race N	another process writes into the report between request and answer, the first N times
 *	--no-aux	no auxblob
 *	--nsm-error	the security module answers with an error
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../lib/intel_maker.h"
#include "core/encode.h"
#include "hw_standin.h"

#define NSM_PATH "/dev/nsm"
#define SEV_GUEST_PATH "/dev/sev-guest"
#define NSM_IOCTL_RAW 0xc0200a00u

static enum { SNP, TDX, NITRO } hardware;
static bool vlek;
static int races;
struct hw hw;
static char base[PATH_MAX], reports[PATH_MAX];
static struct intel_recipe intel;
static int listener;
static pid_t child;

void hw_put_file(const char *dir, const char *name, const void *p, size_t n, mode_t mode)
{
	char path[PATH_MAX];
	int fd;

	NEED(snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path));
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	NEED(fd >= 0 && write(fd, p, n) == (ssize_t)n && fchmod(fd, mode) == 0 && close(fd) == 0);
}

size_t hw_get_file(const char *dir, const char *name, void *p, size_t max)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	NEED(snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	NEED(fd >= 0);
	n = read(fd, p, max);
	NEED(n >= 0 && close(fd) == 0);
	return (size_t)n;
}

static void put_root(const uint8_t hash[32])
{
	char hex[65];

	hex_encode(hash, 32, hex);
	hw_put_file(base, "root.hex", hex, 64, 0644);
}

static void put_now(uint64_t t)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)t);
	hw_put_file(base, "now", text, strlen(text), 0644);
}

static void put_root_cert(X509 *cert)
{
	uint8_t hash[32];
	BIO *b = BIO_new(BIO_s_mem());
	char *pem;
	long n;

	pki_key_hash(cert, hash);
	put_root(hash);
	NEED(b && PEM_write_bio_X509(b, cert) == 1 && (n = BIO_get_mem_data(b, &pem)) > 0);
	hw_put_file(base, "root.pem", pem, (size_t)n, 0644);
	BIO_free(b);
}

static void start_intel(void)
{
	struct intel_made m;

	intel_recipe_init(&intel, TEE_TDX, 4, false);
	intel_recipe_at(&intel, (uint64_t)time(NULL));
	for (int i = 0; i < CERT_COUNT; i++)
		NEED(intel.cert[i].key = EVP_EC_gen("P-256"));
	intel_make(&intel, &m);
	hw_put_file(base, "collateral", m.collateral.data, m.collateral.len, 0644);
	hw_put_file(base, "root.pem", m.root_pem.data, m.root_pem.len, 0644);
	put_root(m.root);
	intel_made_free(&m);
}

static void start_hardware(void)
{
	struct buf crl;

	put_now((uint64_t)time(NULL));
	if (hardware == SNP) {
		hw_start_chip();
		snp_maker_init(&hw.snp, SNP_GENOA, vlek);
		put_root_cert(hw.snp.ark);
		buf_init(&crl, 65536);
		snp_make_crl(&hw.snp, MAKE_SNP_FROM, MAKE_SNP_TO, NULL, 0, &crl);
		hw_put_file(base, "collateral", crl.data, crl.len, 0644);
		buf_free(&crl);
	} else if (hardware == NITRO) {
		nitro_maker_init(&hw.nitro);
		put_root_cert(hw.nitro.root);
	} else {
		start_intel();
	}
}

/* Does DIR/guest say this word? */
bool hw_guest_is(const char *word)
{
	char path[PATH_MAX], text[256] = "";
	FILE *f;

	NEED(snprintf(path, sizeof(path), "%s/guest", base) < (int)sizeof(path));
	f = fopen(path, "r");
	if (!f)
		return false;
	NEED(fread(text, 1, sizeof(text) - 1, f) < sizeof(text) - 1 && fclose(f) == 0);
	return strstr(text, word) != NULL;
}

/* --- configfs-tsm ------------------------------------------------------------------------------------------------------------------ */

static unsigned long generation(const char *dir)
{
	char text[32] = "";

	hw_get_file(dir, "generation", text, sizeof(text) - 1);
	return strtoul(text, NULL, 10);
}

static void count_write(const char *dir)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu\n", generation(dir) + 1);
	hw_put_file(dir, "generation", text, strlen(text), 0444);
}

static int make_report_dir(const char *dir)
{
	const char *provider = hardware == SNP ? "sev_guest\n" : "tdx_guest\n";

	if (hardware == NITRO) /* no provider of reports */
		return -ENXIO;
	if (mkdir(dir, 0700) < 0)
		return -errno;
	hw_put_file(dir, "provider", provider, strlen(provider), 0444);
	hw_put_file(dir, "generation", "0\n", 2, 0444);
	hw_put_file(dir, "inblob", "", 0, 0200);
	hw_put_file(dir, "outblob", "", 0, 0400);
	if (!hw.no_aux && hardware == SNP)
		hw_put_file(dir, "auxblob", "", 0, 0400);
	if (hardware == SNP) {
		hw_put_file(dir, "privlevel", "", 0, 0200);
		hw_put_file(dir, "privlevel_floor", "0\n", 2, 0444);
	}
	return 0;
}

static int remove_report_dir(const char *dir)
{
	static const char *const names[] = {
		"provider", "generation", "inblob", "outblob", "auxblob", "privlevel", "privlevel_floor"};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		NEED(snprintf(path, sizeof(path), "%s/%s", dir, names[i]) < (int)sizeof(path));
		(void)unlink(path);
	}
	return rmdir(dir) < 0 ? -errno : 0;
}

static void sign_snp(const char *dir, const uint8_t in[64])
{
	struct snp_report_wire w;
	struct buf table;

	hw_make_snp(in, &w);
	hw_put_file(dir, "outblob", &w, sizeof(w), 0400);
	if (hw.no_aux)
		return;
	buf_init(&table, 65536);
	snp_make_table(&hw.snp, NULL, &table);
	hw_put_file(dir, "auxblob", table.data, table.len, 0400);
	buf_free(&table);
}

static void sign_tdx(const char *dir, const uint8_t in[64])
{
	struct intel_recipe r = intel;
	struct intel_made m;

	memcpy(r.td.report_data, in, 64);
	r.td.mr_td[0] ^= hw_guest_is("launch");
	r.td.td_attributes[0] |= hw_guest_is("debug");
	if (hw_guest_is("outdated"))
		r.td.tee_tcb_svn[0] = 4;
	intel_make(&r, &m);
	hw_put_file(dir, "outblob", m.quote.data, m.quote.len, 0400);
	intel_made_free(&m);
}

/* Reading outblob. -EINVAL without an inblob, as the kernel. */
static int sign_report(const char *dir)
{
	uint8_t in[65] = {0};
	size_t n = hw_get_file(dir, "inblob", in, sizeof(in));

	if (n == 0 || n > 64)
		return -EINVAL;
	if (hardware == SNP)
		sign_snp(dir, in);
	else
		sign_tdx(dir, in);
	if (races > 0) { /* its answer is no longer the one to the caller's request */
		races--;
		count_write(dir);
	}
	return 0;
}

bool hw_peek(pid_t pid, uint64_t from, void *to, size_t n)
{
	struct iovec local = {to, n}, remote = {(void *)(uintptr_t)from, n};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
}

bool hw_poke(pid_t pid, uint64_t to, const void *from, size_t n)
{
	struct iovec local = {(void *)(uintptr_t)from, n}, remote = {(void *)(uintptr_t)to, n};

	return process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)n;
}

/* --- calls of the program ---------------------------------------------------------------------------------------------------------- */

/* The absolute path that a call names, lexically: reports have no links in them. */
static bool path_of(pid_t pid, int dirfd, uint64_t at, char ret[PATH_MAX])
{
	char text[PATH_MAX], link[64];
	size_t n = 0;
	ssize_t len;

	/* up to a page's end at a time: the text may end where the memory does */
	while (n < sizeof(text)) {
		size_t part = 4096 - (at + n) % 4096;

		if (part > sizeof(text) - n)
			part = sizeof(text) - n;
		if (!hw_peek(pid, at + n, text + n, part))
			return false;
		if (memchr(text + n, 0, part))
			break;
		n += part;
	}
	if (n >= sizeof(text))
		return false;
	if (text[0] == '/')
		return snprintf(ret, PATH_MAX, "%s", text) < PATH_MAX;
	if (dirfd == AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/%d/cwd", pid);
	else
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, dirfd);
	len = readlink(link, ret, PATH_MAX - 1);
	return len > 0 && snprintf(ret + len, (size_t)(PATH_MAX - len), "/%s", text) < PATH_MAX - len;
}

/* Is path DIR/report/NAME (ret_file NULL) or DIR/report/NAME/FILE? */
static bool in_reports(const char *path, const char **ret_file)
{
	size_t n = strlen(reports);
	const char *name = path + n + 1, *slash;

	if (strncmp(path, reports, n) != 0 || path[n] != '/' || !*name)
		return false;
	slash = strchr(name, '/');
	*ret_file = slash ? slash + 1 : NULL;
	return true;
}

/* Negative: the call's answer. 0: the kernel does it. 1: done, the answer is 0. */
static int on_open(const char *path, const char *file, int flags)
{
	char dir[PATH_MAX];

	if (!file)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(file - path - 1), path);
	if (access(dir, F_OK) < 0)
		return 0;
	if ((strcmp(file, "inblob") == 0 || strcmp(file, "privlevel") == 0) &&
		(flags & O_ACCMODE) == O_WRONLY) {
		hw_put_file(dir, file, "", 0, 0200);
		count_write(dir);
	}
	return strcmp(file, "outblob") == 0 ? sign_report(dir) : 0;
}

static int on_call(const struct seccomp_notif *n)
{
	const __u64 *a = n->data.args;
	pid_t pid = (pid_t)n->pid;
	char path[PATH_MAX];
	const char *file;
	int rc;

	switch (n->data.nr) {
	case SYS_ioctl:
		if (hardware == SNP && hw_is_sev_request((uint32_t)a[1]))
			return (rc = hw_answer_sev(pid, (uint32_t)a[1], a[2])) < 0 ? rc : 1;
		return hardware == NITRO && (uint32_t)a[1] == NSM_IOCTL_RAW
			       ? (rc = hw_answer_nsm(pid, a[2])) < 0 ? rc : 1
			       : 0;
	case SYS_openat:
		if (!path_of(pid, (int)a[0], a[1], path))
			return 0;
		return in_reports(path, &file) ? on_open(path, file, (int)a[2]) : 0;
	case SYS_mkdirat:
	case SYS_mkdir:
		rc = n->data.nr == SYS_mkdirat;
		if (!path_of(pid, rc ? (int)a[0] : AT_FDCWD, a[rc], path) || !in_reports(path, &file))
			return 0;
		return file ? -EPERM : (rc = make_report_dir(path)) < 0 ? rc : 1;
	case SYS_unlinkat:
		if (!path_of(pid, (int)a[0], a[1], path) || !in_reports(path, &file))
			return 0;
		return file || !(a[2] & AT_REMOVEDIR) ? -EPERM : (rc = remove_report_dir(path)) < 0 ? rc : 1;
	default:
		return 0;
	}
}

/* The device is not there: what is opened in its place is this. */
static bool give_device(const struct seccomp_notif *n)
{
	struct seccomp_notif_addfd add = {
		.id = n->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .newfd_flags = O_CLOEXEC};
	char path[PATH_MAX];
	int fd;

	if (hardware == TDX || n->data.nr != SYS_openat ||
		!path_of((pid_t)n->pid, (int)n->data.args[0], n->data.args[1], path) ||
		strcmp(path, hardware == SNP ? SEV_GUEST_PATH : NSM_PATH) != 0)
		return false;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	NEED(fd >= 0);
	add.srcfd = (__u32)fd;
	NEED(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0);
	close(fd);
	return true;
}

static void serve(void)
{
	struct seccomp_notif n;
	struct seccomp_notif_resp r;

	struct pollfd p = {.fd = listener, .events = POLLIN};

	while (poll(&p, 1, -1) >= 0 || errno == EINTR) {
		int rc;

		if (p.revents & POLLHUP) /* no process with the filter is left */
			return;
		memset(&n, 0, sizeof(n));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0)
			continue;
		if (give_device(&n))
			continue;
		rc = on_call(&n);
		memset(&r, 0, sizeof(r));
		r.id = n.id;
		if (rc < 0)
			r.error = rc;
		else if (rc == 0)
			r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
	}
}

static int install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdirat, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unlinkat, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(*code), code};

	NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

static void send_fd(int sock, int fd)
{
	char c = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&c, 1};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	NEED(sendmsg(sock, &m, 0) == 1);
}

static int receive_fd(int sock)
{
	char c, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&c, 1};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static void pass_on(int signal_number)
{
	kill(child, signal_number);
}

static int run(char **argv)
{
	struct sigaction on = {.sa_handler = pass_on};
	int pair[2], status;

	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	child = fork();
	NEED(child >= 0);
	if (child == 0) {
		int fd;

		NEED(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		fd = install_filter();

		NEED(fd >= 0);
		send_fd(pair[1], fd);
		close(fd);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(pair[1]);
	NEED(sigaction(SIGTERM, &on, NULL) == 0 && sigaction(SIGINT, &on, NULL) == 0);
	listener = receive_fd(pair[0]);
	NEED(listener >= 0);
	serve();
	NEED(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1] == '-'; i++) {
		if (strcmp(argv[i], "--snp-vlek") == 0)
			vlek = true;
		else if (strcmp(argv[i], "--tdx") == 0)
			hardware = TDX;
		else if (strcmp(argv[i], "--nitro") == 0)
			hardware = NITRO;
		else if (strcmp(argv[i], "--no-aux") == 0)
			hw.no_aux = true;
		else if (strcmp(argv[i], "--nsm-error") == 0)
			hw.nsm_error = true;
		else if (strcmp(argv[i], "--race") == 0 && i + 1 < argc)
			races = atoi(argv[++i]);
	}
	if (i + 2 >= argc || strcmp(argv[i + 1], "--") != 0)
		return 2;
	NEED(realpath(argv[i], base));
	hw.base = base;
	NEED(snprintf(reports, sizeof(reports), "%s/report", base) < (int)sizeof(reports));
	NEED(mkdir(reports, 0700) == 0 || errno == EEXIST);
	start_hardware();
	return run(argv + i + 2);
}
