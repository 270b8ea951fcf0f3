# What R does with processes, connections and signals. Rscript own.R GROUP [TEST...]: each test prints its beginning and end in lines with @@.
args <- commandArgs(TRUE)
only <- args[-1]
test <- function(name, expr) {
	if (length(only) && !(name %in% only)) return(invisible())
	cat(paste0("@@ ", name, " hang\n"))
	where <- new.env(parent = parent.frame()); code <- substitute(expr)
	message <- tryCatch({ eval(code, where); "" }, error = function(e) paste(conditionMessage(e), collapse = " "))
	cat(paste0("@@ ", name, if (nzchar(message)) " fail " else " ok ", gsub("\n", " ", message), "\n"))
}
same <- function(wanted, got) {
	if (!isTRUE(all.equal(wanted, got, check.attributes = FALSE)))
		stop("got ", paste(deparse(got), collapse = ""), ", wanted ", paste(deparse(wanted), collapse = ""))
}
check <- function(holds) if (!isTRUE(holds)) stop("not so: ", paste(deparse(substitute(holds)), collapse = ""))
fails <- function(expr) inherits(try(expr, silent = TRUE), "try-error")
rscript <- file.path(R.home("bin"), "Rscript")
R <- file.path(R.home("bin"), "R")
script <- function(...) { f <- tempfile(fileext = ".R"); writeLines(c(...), f); f }
open_files <- function() length(list.files("/proc/self/fd"))

processes <- function() {
	library(parallel)
	test("mclapply", same((1:40)^2, unlist(mclapply(1:40, function(i) { Sys.sleep(0.002); i^2 }, mc.cores = 4))))
	test("mclapply_many", same(1:300, unlist(mclapply(1:300, identity, mc.cores = 8, mc.preschedule = FALSE))))
	test("mclapply_large", same(rep(2e6, 4), vapply(mclapply(1:4, function(i) numeric(2e6) + i, mc.cores = 4), length, 0)))
	test("mclapply_error", {
		r <- suppressWarnings(mclapply(1:4, function(i) if (i == 3) stop("on purpose") else i, mc.cores = 4))
		check(inherits(r[[3]], "try-error")); same(4, r[[4]])
	})
	test("mclapply_killed", {
		r <- suppressWarnings(mclapply(1:2, function(i) if (i == 2) tools::pskill(Sys.getpid(), tools::SIGKILL) else i, mc.cores = 2))
		same(1, r[[1]]); check(is.null(r[[2]]))
	})
	test("pvec", same(sqrt(1:10000), pvec(1:10000, sqrt, mc.cores = 3)))
	test("mcparallel", {
		jobs <- lapply(1:5, function(i) mcparallel({ Sys.sleep(i / 100); i * 10 }))
		same((1:5) * 10, sort(unlist(mccollect(jobs))))
	})
	test("mcmapply_random", {
		RNGkind("L'Ecuyer-CMRG"); set.seed(1); a <- mclapply(1:6, function(i) rnorm(3), mc.cores = 3)
		set.seed(1); b <- mclapply(1:6, function(i) rnorm(3), mc.cores = 3)
		same(a, b)
	})
	test("cluster_psock", {
		cl <- makePSOCKcluster(3); on.exit(stopCluster(cl))
		same((1:20)^2, unlist(clusterApplyLB(cl, 1:20, function(i) i^2)))
		x <- 5; clusterExport(cl, "x", environment()); same(rep(6, 3), unlist(clusterCall(cl, function() x + 1)))
		same(6, length(unique(c(unlist(clusterCall(cl, Sys.getpid)), Sys.getpid(), Sys.getpid() + 1e7, 0)))) # three others, this one, two invented
		stopCluster(cl); on.exit()
	})
	test("cluster_fork", {
		y <- 7; cl <- makeForkCluster(2)
		same(list(8, 8), clusterCall(cl, function() y + 1)); stopCluster(cl)
	})
	test("cluster_worker_dies", {
		cl <- makePSOCKcluster(2)
		check(fails(clusterCall(cl, function() quit("no"))))
		try(stopCluster(cl), silent = TRUE)
	})
	test("system", {
		same(c("one", "two"), system("echo one; echo two", intern = TRUE))
		same(3, system("exit 3")); same("shell", system("cat", input = "shell", intern = TRUE))
		same(7, attr(suppressWarnings(system("echo x; exit 7", intern = TRUE)), "status"))
		same(127, suppressWarnings(system("nonexistent-program 2>/dev/null")))
		same("a b", system2("printf", c("%s", shQuote("a b")), stdout = TRUE))
		same("to err", system2("sh", c("-c", shQuote("echo to err >&2")), stdout = TRUE, stderr = TRUE))
		same("v", system2("sh", c("-c", shQuote("echo $NEW")), env = "NEW=v", stdout = TRUE))
	})
	test("system_timeout", {
		t <- system.time(r <- suppressWarnings(system("sleep 20", timeout = 1)))
		same(124, r); check(t[["elapsed"]] < 10)
	})
	test("system_background", {
		f <- tempfile(); system(paste("sh -c 'sleep 0.1; echo done >", f, "'"), wait = FALSE)
		for (i in 1:300) { if (file.exists(f) && length(readLines(f))) break; Sys.sleep(0.05) }
		same("done", readLines(f))
	})
	test("system_many", { n <- open_files(); for (i in 1:60) same("x", system("echo x", intern = TRUE)); same(n, open_files()) })
	test("rscript", {
		f <- script("cat(commandArgs(TRUE), sep = '|'); quit('no', 9)")
		out <- suppressWarnings(system2(rscript, c("--vanilla", f, "a", shQuote("b c")), stdout = TRUE))
		same("a|b c", as.character(out)); same(9, attr(out, "status"))
		same("[1] 4", system2(R, c("--no-echo", "--vanilla"), input = "2+2", stdout = TRUE))
		same("5", system2(rscript, c("-e", shQuote("cat(2+3)")), stdout = TRUE))
		f <- script(paste0("#!", rscript), "cat('by', basename(sub('--file=', '', grep('--file=', commandArgs(), value = TRUE))))")
		Sys.chmod(f, "755"); same(paste("by", basename(f)), system(f, intern = TRUE))
	})
	test("kill", {
		p <- mcparallel(Sys.sleep(100)); Sys.sleep(0.2)
		check(tools::pskill(p$pid, tools::SIGTERM)); check(is.null(suppressWarnings(mccollect(p))[[1]]))
	})
	test("exit_status", for (s in c("TERM", "KILL", "HUP"))
		same(c(TERM = 143, KILL = 137, HUP = 129)[[s]],
			system(paste0(rscript, " --vanilla -e 'invisible(tools::pskill(Sys.getpid(), tools::SIG", s, "))' >/dev/null 2>&1"))))
	test("user_signals", {
		# Both end R after it has saved.
		d <- tempfile(); dir.create(d)
		for (s in c("USR1", "USR2")) {
			f <- script("kept <- 42", "Sys.sleep(0.2)", paste0("system(paste('kill -", s, "', Sys.getpid()))"), "Sys.sleep(20)")
			unlink(file.path(d, ".RData"))
			system(paste("cd", d, "&&", R, "--no-restore --no-echo --save -f", f, ">/dev/null 2>&1"))
			check(file.exists(file.path(d, ".RData")))
		}
	})
	test("interrupt", {
		f <- script("r <- tryCatch({ system(paste('(sleep 0.5; kill -INT', Sys.getpid(), ') &')); repeat sqrt(2) }, interrupt = function(e) 'interrupted')", "cat(r)")
		same("interrupted", system2(rscript, c("--vanilla", f), stdout = TRUE))
	})
	test("segfault_report", {
		f <- script("tools::pskill(Sys.getpid(), 11L)", "Sys.sleep(5)")
		out <- suppressWarnings(system2(rscript, c("--vanilla", f), stdout = TRUE, stderr = TRUE))
		check(any(grepl("caught segfault", out))); check(!is.null(attr(out, "status")))
	})
}

connections <- function() {
	text <- c("first line", "", "zweite Zeile \u00fc", strrep("x", 10000))
	for (kind in c("file", "gzfile", "bzfile", "xzfile")) local({
		kind <- kind
		test(kind, { f <- tempfile(); con <- get(kind)(f, "w"); writeLines(text, con); close(con); con <- get(kind)(f, "r"); same(text, readLines(con)); close(con) })
	})
	test("binary", {
		f <- tempfile(); con <- file(f, "wb"); writeBin(c(1:10, NA), con); writeBin(pi, con, endian = "big"); close(con)
		con <- file(f, "rb"); same(c(1:10, NA), readBin(con, "integer", 11)); same(pi, readBin(con, "double", endian = "big")); close(con)
		con <- file(f, "r+b"); seek(con, 8, rw = "write"); writeBin(99L, con); seek(con, 8, rw = "read"); same(99L, readBin(con, "integer")); close(con)
	})
	test("pipe", {
		same(c("3", "2", "1"), { f <- tempfile(); con <- pipe(paste("sort -r >", f), "w"); writeLines(c("1", "3", "2"), con); close(con); readLines(f) })
		con <- pipe("seq 100000"); same(100000L, length(readLines(con))); close(con)
		con <- pipe("exit 3"); open(con); same(3L, bitwShiftR(close(con), 8L))
	})
	test("fifo", {
		f <- tempfile(); system(paste("mkfifo", f)); system(paste0("(sleep 0.1; echo through; echo it) > ", f), wait = FALSE)
		con <- fifo(f, "r", blocking = TRUE); same(c("through", "it"), readLines(con)); close(con)
	})
	test("standard", same(c("in 1", "in 2"), system2(rscript, c("--vanilla", "-e", shQuote("writeLines(paste('in', readLines(file('stdin'))))")), input = c("1", "2"), stdout = TRUE)))
	test("url_of_file", { f <- tempfile(); writeLines(text, f, useBytes = TRUE); con <- url(paste0("file://", f), encoding = "UTF-8"); same(text, readLines(con)); close(con) })
	test("sockets", {
		port <- 20000 + Sys.getpid() %% 20000; server <- serverSocket(port)
		system(paste(rscript, "--vanilla -e", shQuote(sprintf("con <- socketConnection(port = %d, open = 'r+', blocking = TRUE); writeLines(rev(readLines(con, 3)), con); close(con)", port))), wait = FALSE)
		con <- socketAccept(server, open = "r+", blocking = TRUE, timeout = 60); writeLines(c("a", "b", "c"), con)
		same(c("c", "b", "a"), readLines(con, 3)); close(con); close(server)
	})
	test("sockets_select", {
		port <- 20000 + (Sys.getpid() + 7) %% 20000; server <- serverSocket(port)
		a <- socketConnection(port = port, open = "r+b"); b <- socketAccept(server, open = "r+b")
		check(!socketSelect(list(b), FALSE, 0.05)); writeBin(1:3, a); check(socketSelect(list(b), FALSE, 10)); same(1:3, readBin(b, "integer", 3))
		close(a); close(b); close(server)
	})
	test("serialize", {
		x <- list(a = 1:1e5, f = function(x) x + 1, e = new.env(), s = c("\u00e9", NA))
		f <- tempfile(); saveRDS(x, f); y <- readRDS(f); same(x$a, y$a); same(3, y$f(2)); same(x$s, y$s)
		save(x, file = f, compress = "xz"); e <- new.env(); load(f, e); same(x$a, e$x$a)
	})
	test("files", {
		d <- tempfile(); dir.create(file.path(d, "a/b"), recursive = TRUE); f <- file.path(d, "a", paste0("f", 1:20)); check(all(file.create(f)))
		same(20L, length(list.files(d, "^f", recursive = TRUE))); check(file.symlink(f[1], file.path(d, "l"))); same(f[1], Sys.readlink(file.path(d, "l")))
		Sys.chmod(f[1], "640"); same("640", format(file.info(f[1])$mode)); check(file.rename(f[1], file.path(d, "g"))); check(file.copy(file.path(d, "g"), f[1]))
		Sys.setFileTime(f[1], as.POSIXct(1e9, origin = "1970-01-01")); same(1e9, as.numeric(file.mtime(f[1]))); unlink(d, recursive = TRUE); check(!dir.exists(d))
		o <- setwd(tempdir()); same(normalizePath(tempdir()), normalizePath(getwd())); setwd(o)
	})
	test("limits_of_connections", { l <- list(); check(fails(for (i in 1:200) l[[i]] <- file(tempfile(), "w"))); for (c in l) close(c) })
	test("sink_capture", { same("[1] 1", capture.output(print(1))); f <- tempfile(); sink(f); cat("sunk\n"); sink(); same("sunk", readLines(f)) })
}

machine <- function() {
	test("recursion", {
		f <- function(n) f(n + 1)
		check(fails(f(1))); options(expressions = 500000); check(fails(f(1)))
		f <- script("options(expressions = 500000); f <- function(n) f(n + 1); r <- tryCatch(f(1), error = function(e) 'caught'); cat(r)")
		for (limit in c("8192", "2048", "unlimited"))
			check(any(grepl("caught", system(paste("ulimit -s", limit, "&&", rscript, "--vanilla", f, "2>&1"), intern = TRUE))))
	})
	test("regular_expression_stack", check(is.logical(grepl("^(a|b)*$", strrep("ab", 1e5), perl = TRUE))))
	test("memory", { for (i in 1:30) { x <- numeric(5e6); x[i] <- i; same(i, sum(x)) }; g <- gc(); check(g[1, 1] > 0) })
	test("memory_limit", {
		f <- script("r <- tryCatch(numeric(1e9), error = function(e) 'refused'); cat(r)")
		check(any(grepl("refused", system(paste("ulimit -v 3000000;", rscript, "--vanilla", f, "2>&1"), intern = TRUE))))
	})
	test("profiler", {
		f <- tempfile(); Rprof(f, interval = 0.005); s <- 0; t <- proc.time()[[1]]; while (proc.time()[[1]] - t < 1) s <- s + sum(sort(runif(1000))); Rprof(NULL)
		check(sum(summaryRprof(f)$by.self$self.time) > 0.3)
	})
	test("profiler_elapsed_memory", { f <- tempfile(); Rprof(f, interval = 0.01, memory.profiling = TRUE); for (i in 1:200) x <- sort(runif(1e5)); Rprof(NULL); check(file.size(f) > 50) })
	test("time_limit", {
		check(fails({ setTimeLimit(elapsed = 0.3, transient = TRUE); repeat sqrt(2) })); setTimeLimit()
		r <- tryCatch({ setTimeLimit(cpu = 0.3, transient = TRUE); repeat sqrt(2) }, error = function(e) conditionMessage(e)); setTimeLimit(); check(grepl("CPU time limit", r))
	})
	test("numbers", {
		same(1 / 3, Reduce(function(a, b) a, list(1 / 3))); check(is.nan(0 / 0)); check(is.na(NA_integer_ + 1L)); check(is.na(.Machine$integer.max + 1L) || TRUE)
		m <- matrix(sin(1:250000), 500); same(diag(500), round(solve(m + diag(500) * 600) %*% (m + diag(500) * 600), 8))
		same(5000L, length(unique(sample(5000)))); same(c(a = 2), vapply(c(a = 1), function(x) x + 1, 0))
	})
	test("compiled_code", {
		d <- tempfile(); dir.create(d); f <- file.path(d, "add.c")
		writeLines(c("#include <Rinternals.h>", "SEXP add(SEXP a, SEXP b) { return Rf_ScalarReal(Rf_asReal(a) + Rf_asReal(b)); }"), f)
		same(0L, system(paste("cd", d, "&&", R, "CMD SHLIB add.c >/dev/null 2>&1"))); dyn.load(file.path(d, "add.so")); same(5, .Call("add", 2, 3))
	})
	test("package", {
		d <- tempfile(); dir.create(d); e <- new.env(); e$hello <- function() "hello from a package"
		suppressMessages(utils::package.skeleton("made", environment = e, path = d)); unlink(file.path(d, "made/man"), recursive = TRUE); dir.create(file.path(d, "lib"))
		same(0L, system(paste(R, "CMD INSTALL --no-docs -l", file.path(d, "lib"), file.path(d, "made"), ">/dev/null 2>&1")))
		library(made, lib.loc = file.path(d, "lib")); same("hello from a package", made::hello())
	})
	test("byte_code", { f <- compiler::cmpfun(function(n) { s <- 0; for (i in 1:n) s <- s + i; s }); same(5000050000, f(1e5)) })
	test("dates", { same("2024-03-31 03:30:00", format(as.POSIXct("2024-03-31 01:30:00", tz = "UTC"), tz = "Europe/Berlin")); check(Sys.time() > as.POSIXct("2020-01-01")) })
	test("graphics", { f <- tempfile(); pdf(f); plot(1:10); hist(rnorm(100)); dev.off(); check(file.size(f) > 2000); svgs <- capabilities("cairo"); check(is.logical(svgs)) })
	test("information", { check(nzchar(Sys.info()[["sysname"]])); same(Sys.getpid(), as.integer(basename(Sys.readlink("/proc/self")))); check(parallel::detectCores() >= 1); check(grepl("/R$|/R/bin/exec/R$", Sys.readlink("/proc/self/exe"))) })
	test("environment", { Sys.setenv(SOME = "value"); same("value", system("echo $SOME", intern = TRUE)); Sys.unsetenv("SOME"); same("", Sys.getenv("SOME")); same("UTF-8", l10n_info()$codeset) })
}

switch(args[1], processes = processes(), connections = connections(), machine = machine(), stop("no group ", args[1]))
cat("@@ end ok\n")
