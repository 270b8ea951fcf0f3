#!/usr/bin/env python3
"""kill -9 under databases on an encrypted volume, at random moments, with integrity checks after each round.

  volume_kills.py [sqlite] [mariadb]      KILL_ROUNDS of each (5), SEED to repeat the choices (not the moments),
                                          KILL_WAYS for some of the ways below, KEEP=DIR to copy what fails there

Each round an application works on the volume: two processes on one SQLite database in WAL mode, or MariaDB (InnoDB) with two clients and a
second process that appends to a file. Then one of these:

  tree     all processes of the application, at once
  all      those and the keeper
  one      one process only: the others have to go on, what has died is started again in the same application; then the tree
  keeper   the keeper only: the application has to go on; then the tree
  start    the tree while it starts, that is while it recovers from the round before

After each the application is started again and everything is looked at: what was told as committed is there, each transaction is there whole
or not at all, and the databases' own checks find nothing. Every tenth time the volume itself is verified as well.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.realpath(os.environ.get('SCONE_BIN', os.path.join(HERE, '../../build/bin')))
ROUNDS = int(os.environ.get('KILL_ROUNDS') or 5)
SEED = int(os.environ.get('SEED') or time.time())
PATIENCE = 120  # seconds in which an application has to come up, or to go on: machines may be busy
WAYS = os.environ.get('KILL_WAYS', 'tree all one keeper start').split()

passed = failed = 0


def judge(name, wrong):
    global passed, failed
    if wrong:
        print(f'not ok {name}: {wrong}', flush=True)
        failed += 1
    else:
        print(f'ok {name}', flush=True)
        passed += 1


class Wrong(Exception):
    """Something is not as it has to be."""


def wait_until(what, holds, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Wrong(f'{what}: not within {seconds} s')
        time.sleep(0.02)


def stat_of(pid):
    """(command, session) of a process, or None."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            text = f.read()
    except OSError:
        return None
    name, rest = text[text.index('(') + 1:].rsplit(')', 1)
    fields = rest.split()
    return None if fields[0] == 'Z' else (name, int(fields[3]))


class Volume:
    def __init__(self, base):
        self.base = base
        self.host, self.at, self.key = (os.path.join(base, n) for n in ('host', 'vol', 'key'))
        os.mkdir(self.at)
        self.log = open(os.path.join(base, 'log'), 'ab')
        self.env = dict(os.environ, SCONE_RUNTIME=os.path.join(BIN, 'scone-runtime'))

    def command(self, *program):
        return [os.path.join(BIN, 'scone'), 'run', '--volume', f'{self.host}:{self.at}', '--volume-key-file', self.key, '--size', '2G', '--',
                *program]

    def keeper(self):
        """Its pid, or None. Its descriptors tell whose it is."""
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if (stat_of(pid) or ('', 0))[0] != 'scone-keeper':
                continue
            try:
                for fd in os.listdir(f'/proc/{pid}/fd'):
                    if os.readlink(f'/proc/{pid}/fd/{fd}').startswith(self.host + '/'):
                        return int(pid)
            except OSError:
                pass
        return None

    def released(self):
        wait_until('the keeper ends after its application', lambda: self.keeper() is None)

    def verify(self):
        self.released()
        # What was killed may take a moment to die.
        for _ in range(50):
            done = subprocess.run([os.path.join(BIN, 'scone'), 'volume', 'verify', '--volume-key-file', self.key, self.host],
                                  capture_output=True, text=True, env=self.env, timeout=PATIENCE, check=False)
            if 'another process' not in done.stderr:
                break
            time.sleep(0.2)
        if done.returncode:
            raise Wrong(f'scone volume verify: {done.stderr.strip()[-300:]}')


class Application:
    """One run on the volume. What it prints are lines of words; the last line that begins with a word is said[word]."""

    def __init__(self, volume, *program):
        self.volume, self.said, self.counts = volume, {}, {}
        self.process = subprocess.Popen(volume.command(*program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=volume.log,
                                        start_new_session=True, env=volume.env)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            words = line.decode(errors='replace').split()
            if words and line.endswith(b'\n'):
                self.counts[words[0]] = self.counts.get(words[0], 0) + 1
                self.said[words[0]] = words[1:]

    def alive(self):
        return self.process.poll() is None

    def expect(self, word, more=1, tell=None):
        """Tell it something, if so, and wait until it has said the word so many times more; 0: at all."""
        wanted = self.counts.get(word, 0) + more if more else 1
        if tell:
            self.tell(tell)

        def holds():
            if self.counts.get(word, 0) < wanted and not self.alive():
                raise Wrong(f'it ended with {self.process.returncode} before it said "{word}"')
            return self.counts.get(word, 0) >= wanted
        wait_until(f'"{word}" ({wanted} times)', holds)

    def tell(self, text):
        self.process.stdin.write(text.encode() + b'\n')
        self.process.stdin.flush()

    def session(self, sig):
        """Send all that is left of it a signal: how many there were."""
        left = 0
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if (stat_of(pid) or ('', 0))[1] == self.process.pid:
                left += 1
                try:
                    os.kill(int(pid), sig)
                except ProcessLookupError:
                    pass
        return left

    def kill_tree(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        # What was in a group of its own, and what takes a while to die.
        wait_until('all processes die', lambda: not self.session(signal.SIGKILL))
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class Database:
    """What both have in common. told[w]: the highest number that writer w was told as committed."""

    name = ''

    def __init__(self, volume, noise):
        self.volume, self.noise = volume, noise
        self.told = {}
        self.checks = self.restarts = 0
        self.ways = dict.fromkeys(WAYS, 0)
        self.last = []
        self.slowest = 0.0

    def start(self):
        """Started, and found to be good: an application that works."""
        if os.environ.get('KEEP'):
            self.volume.released()
            subprocess.run(['cp', '-rT', '--sparse=always', self.volume.host, self.volume.host + '.before'], check=False)
        begun = time.monotonic()
        app = self.launch()
        try:
            self.check(app)
        except Exception:
            app.kill_tree()
            raise
        self.checks += 1
        self.slowest = max(self.slowest, time.monotonic() - begun)
        return app

    def work(self, app):
        time.sleep(self.noise.random() * 1.2)

    def kill_keeper(self):
        keeper = self.volume.keeper()
        if keeper is None:
            raise Wrong('there is no keeper')
        os.kill(keeper, signal.SIGKILL)

    def end(self, app, way):
        self.collect(app)
        if way == 'one':
            self.one(app)
            self.restarts += 1
        if way == 'keeper':
            self.kill_keeper()
            self.goes_on(app)
        self.work(app)
        if way == 'all' and self.noise.random() < 0.5:
            self.kill_keeper()
            app.kill_tree()
        else:
            app.kill_tree()
            if way == 'all':
                keeper = self.volume.keeper()
                if keeper:
                    os.kill(keeper, signal.SIGKILL)
        self.collect(app)

    def round(self):
        way = self.noise.choice(WAYS)
        self.ways[way] += 1
        self.last = (self.last + [way])[-4:]
        if way == 'start':
            app = self.launch()
            time.sleep(self.noise.random() * 1.0)
            app.kill_tree()
            self.collect(app)
            way = 'tree'
        app = self.start()
        self.work(app)
        self.end(app, way)


class Sqlite(Database):
    """Two processes write one database; each keeps its last rows only, so that pages are freed and used again."""

    name = 'SQLite'
    WORKER = r'''
import hashlib, os, sqlite3, sys, time
KEPT = 300

def row(w, n):
    h = hashlib.sha256(b'%d %d' % (w, n)).digest()
    return h * (h[0] * 2 + 1)

def connect():
    c = sqlite3.connect(sys.argv[1], timeout=100, isolation_level=None)
    for p in ('journal_mode=wal', 'synchronous=full', 'wal_autocheckpoint=40'):
        c.execute('pragma ' + p)
    return c

def last(c, w):
    return c.execute('select max(n) from t where w = ?', (w,)).fetchone()[0] or 0

def write(w):
    c = connect()
    n = last(c, w)
    while True:
        n += 1
        c.execute('begin immediate')
        c.execute('insert into t values (?, ?, ?)', (w, n, row(w, n)))
        c.execute('delete from t where w = ? and n <= ?', (w, n - KEPT))
        c.execute('update total set n = n + 1 where w = ?', (w,))
        c.execute('commit')
        os.write(1, b'told%d %d\n' % (w, n))

def check(c):
    c.execute('begin')  # one state, while the other goes on
    try:
        return look(c)
    finally:
        c.execute('commit')

def look(c):
    seen = [r[0] for r in c.execute('pragma integrity_check')]
    if seen != ['ok']:
        return 'integrity_check: %s' % seen[:3]
    for w in (0, 1):
        top = last(c, w)
        have = list(c.execute('select n, x from t where w = ? order by n', (w,)))
        if [n for n, _ in have] != list(range(max(1, top - KEPT + 1), top + 1)):
            return 'rows of writer %d: %d up to %d, with gaps' % (w, len(have), top)
        if any(x != row(w, n) for n, x in have):
            return 'a row of writer %d has other bytes' % w
        total = c.execute('select n from total where w = ?', (w,)).fetchone()[0]
        if total != top:
            return 'writer %d counted %d, its last row is %d: half a transaction' % (w, total, top)
    return ''

def spawn(w):
    pid = os.fork()
    if pid == 0:
        write(w)
    os.write(1, b'pid%d %d\n' % (w, pid))

c = connect()
c.executescript("""create table if not exists t(w integer, n integer, x blob, primary key(w, n));
    create table if not exists total(w integer primary key, n integer);
    insert or ignore into total values (0, 0), (1, 0);""")
for command in sys.stdin:
    if command == 'check\n':
        wrong = check(c)
        os.write(1, ('checked %d %d %s\n' % (last(c, 0), last(c, 1), wrong)).encode())
    else:
        spawn(int(command))
'''

    def launch(self):
        app = Application(self.volume, '/usr/bin/python3', '-c', self.WORKER, os.path.join(self.volume.at, 'k.db'))
        app.tell('check')
        return app

    def look(self, app):
        words = app.said['checked']
        if len(words) > 2:
            raise Wrong(' '.join(words[2:]))
        for w in (0, 1):
            if int(words[w]) < self.told.get(w, 0):
                raise Wrong(f'writer {w} was told {self.told[w]}, there is {words[w]}')

    def check(self, app):
        app.expect('checked', 0)
        self.look(app)
        app.tell('0\n1')
        app.expect('told0', 0)
        app.expect('told1', 0)

    def collect(self, app):
        for w in (0, 1):
            if f'told{w}' in app.said:
                self.told[w] = max(self.told.get(w, 0), int(app.said[f'told{w}'][0]))

    def goes_on(self, app):
        app.expect('told0', 3)
        app.expect('told1', 3)

    def one(self, app):
        w = self.noise.randrange(2)
        os.kill(int(app.said[f'pid{w}'][0]), signal.SIGKILL)
        app.expect(f'told{1 - w}', 3)
        time.sleep(0.05)  # what the dead one said before may still be on its way
        self.collect(app)
        app.expect('checked', tell='check')
        self.look(app)
        app.expect(f'told{w}', tell=str(w))


class Client(threading.Thread):
    """Moves amounts between accounts through one mariadb client until the connection breaks; told: the last that was committed."""

    ACCOUNTS = 40

    def __init__(self, command, w, first):
        super().__init__()
        self.w, self.told, self.next = w, first, first
        self.noise = random.Random(w * 1000 + first)
        self.process = subprocess.Popen([*command, '--unbuffered', 'd'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.writer = threading.Thread(target=self.write)

    def write(self):
        try:
            while True:
                self.next += 1
                a, b = sorted(self.noise.sample(range(self.ACCOUNTS), 2))
                k = self.noise.randrange(-99, 100)
                self.process.stdin.write(
                    f'begin; update acct set v=v-({k}) where id={a}; update acct set v=v+({k}) where id={b};'
                    f"insert into log values ({self.w},{self.next},{a},{b},{k},repeat(md5('{self.w} {self.next}'),{1 + self.next % 20})); commit;"
                    f'select {self.next};\n'.encode())
                self.process.stdin.flush()
        except (OSError, ValueError):
            pass

    def run(self):
        self.writer.start()
        for line in self.process.stdout:
            self.told = int(line)
        self.process.wait()
        self.writer.join()

    def end(self):
        self.process.kill()
        self.join()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except OSError:
            pass


class Mariadb(Database):
    """Two clients move amounts and log it; a second process of the application appends lines to a file and fsyncs each."""

    name = 'MariaDB'
    APPEND = r'''
import hashlib, os, sys
f = open(sys.argv[1], 'a+b')
f.seek(0)
text = f.read()
whole = text.rfind(b'\n') + 1
lines = text[:whole].splitlines()
wrong = [i for i, l in enumerate(lines, 1) if l != b'%d %s' % (i, hashlib.sha256(b'%d' % i).hexdigest().encode() * (i % 9))]
os.write(1, b'appended %d %s\n' % (len(lines), b'line %d has other bytes' % wrong[0] if wrong else b''))
os.truncate(sys.argv[1], whole)
n = len(lines)
while True:
    n += 1
    f.write(b'%d %s\n' % (n, hashlib.sha256(b'%d' % n).hexdigest().encode() * (n % 9)))
    f.flush()
    os.fsync(f.fileno())
    os.write(1, b'line %d\n' % n)
'''
    # Starts what it reads, so that what was killed can be started again in the same application.
    SHELL = '''while read -r what; do case $what in
server) "$@" >>"$LOG" 2>&1 & echo server $! ;;
append) /usr/bin/python3 -c "$APPEND" "$PLACE/lines" & echo append $! ;;
esac; done'''

    def __init__(self, volume, noise):
        super().__init__(volume, noise)
        self.data, self.run = os.path.join(volume.at, 'my'), os.path.join(volume.base, 'run')
        os.mkdir(self.run)
        self.socket, self.errors = os.path.join(self.run, 's'), os.path.join(self.run, 'log')
        self.read_errors = self.lines = 0
        self.query = ['mariadb', '--no-defaults', '-S', self.socket, '-uroot', '-N', '-B']
        self.clients = []
        self.server = [shutil.which('mariadbd'), '--no-defaults', '--user=root', '--tmpdir=' + self.run, '--datadir=' + self.data, '--socket=' + self.socket,
                       '--pid-file=' + os.path.join(self.run, 'pid'), '--skip-networking', '--innodb-buffer-pool-size=8M',
                       '--innodb-log-file-size=4M', '--aria-pagecache-buffer-size=4M', '--key-buffer-size=1M']
        done = subprocess.run(volume.command('mariadb-install-db', '--no-defaults', '--user=root', '--tmpdir=' + self.run, '--datadir=' + self.data,
                                             '--auth-root-authentication-method=normal', '--skip-test-db'),
                              capture_output=True, text=True, env=volume.env, timeout=PATIENCE * 2, check=False)
        if done.returncode:
            raise Wrong(f'mariadb-install-db: {done.stdout[-200:]} {done.stderr[-300:]}')
        volume.env.update(APPEND=self.APPEND, LOG=self.errors, PLACE=volume.at)
        app = self.launch()
        self.up(app)
        self.ask('create database d; use d; create table acct(id int primary key, v int) engine=innodb;'
                 'insert into acct select seq, 0 from seq_0_to_39;'
                 'create table log(w int, n int, a int, b int, k int, x blob, primary key(w, n), key(x(20))) engine=innodb')
        app.kill_tree()

    def ask(self, sql):
        done = subprocess.run([*self.query, '-e', sql], capture_output=True, text=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise Wrong(f'{sql[:60]}…: {done.stderr.strip()[:300]}')
        return [line.split('\t') for line in done.stdout.splitlines()]

    def launch(self):
        app = Application(self.volume, 'bash', '-c', self.SHELL, 'bash', *self.server)
        app.tell('server\nappend')
        return app

    def up(self, app):
        app.expect('server', 0)
        pid = int(app.said['server'][0])

        def answers():
            if not stat_of(pid):
                raise Wrong(f'mariadbd does not start: {self.tail()}')
            return subprocess.run([*self.query, '-e', 'select 1'], capture_output=True, check=False, timeout=PATIENCE).returncode == 0
        wait_until('mariadbd answers', answers)

    def tail(self):
        with open(self.errors, errors='replace') as f:
            return ' '.join(line.strip() for line in f.readlines()[-3:])[-400:]

    def complaints(self):
        with open(self.errors, errors='replace') as f:
            f.seek(self.read_errors)
            lines = f.readlines()
            self.read_errors = f.tell()
        for line in lines:
            if any(word in line.lower() for word in ('corrupt', 'in the future', 'checksum', 'assertion', 'got signal', 'is damaged', 'cannot read', 'operating system error')):
                raise Wrong(f'the error log says: {line.strip()[:300]}')

    def look(self, app):
        """The server is up; nobody writes."""
        self.complaints()
        for w, low, top, count in self.ask('select w, min(n), max(n), count(*) from d.log group by w'):
            if int(top) - int(low) + 1 != int(count):
                raise Wrong(f'client {w}: {count} rows from {low} to {top}')
        tops = {int(w): int(top) for w, top in self.ask('select w, max(n) from d.log group by w')}
        for w, told in self.told.items():
            if tops.get(w, 0) < told:
                raise Wrong(f'client {w} was told {told}, there is {tops.get(w, 0)}')
        wrong = self.ask('select id, v, coalesce(p.s, 0) - coalesce(m.s, 0) as s from d.acct '
                         'left join (select b, sum(k) as s from d.log group by b) p on b = id '
                         'left join (select a, sum(k) as s from d.log group by a) m on a = id having v <> s')
        wrong += self.ask("select w, n from d.log where x <> repeat(md5(concat(w, ' ', n)), 1 + n % 20) limit 3")
        if wrong:
            raise Wrong(f'half a transaction, or other bytes: {wrong[:3]}')
        for row in self.ask('check table d.acct extended; check table d.log extended'):
            if row[-1] != 'OK':
                raise Wrong(f'check table: {row}')
        if int(self.ask('select count(*) from d.log')[0][0]) > 8000:
            self.shorten()
        self.clients = [Client(self.query, w, tops.get(w, 0)) for w in (0, 1)]
        for c in self.clients:
            c.start()

    def shorten(self):
        """All but the last row of each client goes; kills come while InnoDB still cleans up after it."""
        self.ask('use d; begin; delete l from log l join (select w, max(n) as m from log group by w) t on l.w = t.w and l.n < t.m;'
                 'update acct set v = (select coalesce(sum(k), 0) from log where b = id) - (select coalesce(sum(k), 0) from log where a = id);'
                 'commit')

    def check(self, app):
        app.expect('appended', 0)
        self.look_lines(app)
        self.up(app)
        self.look(app)
        app.expect('line', 0)
        wait_until('the clients work', lambda: all(c.told > self.told.get(c.w, 0) for c in self.clients))

    def look_lines(self, app):
        words = app.said['appended']
        if len(words) > 1 or int(words[0]) < self.lines:
            raise Wrong(f'lines: {" ".join(words)}, told {self.lines}')

    def collect(self, app):
        for c in self.clients:
            self.told[c.w] = max(self.told.get(c.w, 0), c.told)
        self.lines = max(self.lines, int(app.said.get('line', [0])[0]))

    def end(self, app, way):
        super().end(app, way)
        for c in self.clients:
            c.end()
        self.collect(app)
        self.clients = []

    def clients_go_on(self):
        before = [c.told for c in self.clients]
        wait_until('the clients go on', lambda: all(c.told > b + 2 for c, b in zip(self.clients, before)))

    def goes_on(self, app):
        app.expect('line', 3)
        self.clients_go_on()

    def one(self, app):
        if self.noise.random() < 0.3:
            os.kill(int(app.said['append'][0]), signal.SIGKILL)
            self.clients_go_on()
            self.collect(app)
            app.expect('appended', tell='append')
            self.look_lines(app)
            app.expect('line')
            return
        os.kill(int(app.said['server'][0]), signal.SIGKILL)
        app.expect('line', 3)
        for c in self.clients:
            c.end()
        self.collect(app)
        app.expect('server', tell='server')
        self.up(app)
        self.look(app)


def run(kind, base):
    place = os.path.join(base, kind.name)
    os.mkdir(place)
    volume = Volume(place)
    noise = random.Random(SEED)
    db, done, wrong = None, 0, ''
    begun = time.monotonic()
    try:
        db = kind(volume, noise)
        while done < ROUNDS:
            db.round()
            done += 1
            if done % 10 == 0:
                volume.verify()
                print(f'# {kind.name}: {done} rounds, {time.monotonic() - begun:.0f} s, told {sum(db.told.values())}', flush=True)
        db.start().kill_tree()
        for c in getattr(db, 'clients', []):
            c.end()
        volume.verify()
    except (Wrong, subprocess.TimeoutExpired, OSError) as e:
        wrong = f'round {done + 1}, seed {SEED}, last ways {db.last if db else []}: {type(e).__name__}: {e}'
        keep = os.environ.get('KEEP')
        if keep:
            shutil.copytree(place, os.path.join(keep, f'{kind.name}.{os.getpid()}'), symlinks=True, ignore=lambda d, names: {'s'} & set(names))
    told = sum(db.told.values()) if db else 0
    if not wrong and told == 0:
        wrong = 'nothing was told as committed'
    name = f'{kind.name} after {done} rounds of kill -9'
    if db:
        name += f' ({", ".join(f"{w} {n}" for w, n in db.ways.items())}): {told} transactions told, none lost; {db.checks} checks, slowest start {db.slowest:.1f} s'
    judge(name if not wrong else kind.name, wrong)
    if wrong:
        with open(os.path.join(place, 'log'), errors='replace') as f:
            print('    ' + '    '.join(f.readlines()[-8:]))


def main():
    kinds = {'sqlite': Sqlite, 'mariadb': Mariadb}
    wanted = sys.argv[1:] or list(kinds)
    base = tempfile.mkdtemp(prefix='scone-kills.')
    try:
        for name in wanted:
            if name == 'mariadb' and not all(map(shutil.which, ('mariadbd', 'mariadb', 'mariadb-install-db'))):
                print('# mariadb is not installed')
                continue
            run(kinds[name], base)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f'{passed} passed, {failed} failed')
    sys.exit(failed != 0)


main()
